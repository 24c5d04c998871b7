/** What is reported of a blocked event loop, where the test needs a process of its own: exits, debuggers, signals, workers, loaders. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { transformSync } from '@swc/core';
import type { BlockedEvent, BlockedFrame } from 'express-background-tasks';
import { atEnd } from './support/cleanup.ts';
import { getText, RawClient } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { lineWith } from './support/places.ts';
import { type Ended, root } from './support/projects.ts';
import { runScript } from './support/scripts.ts';
import { work } from './support/time.ts';
import { type Printed, type ProgramOptions, WatchedProgram } from './support/watched-program.ts';

jest.setTimeout(60_000);

const LIMIT = 20_000;

/** Runs a program of the fixtures to its end. */
function runToEnd(
  name: string,
  args: readonly string[] = [],
  { execArgv = [], env = {} }: ProgramOptions = {},
): Promise<Ended> {
  return execute([...execArgv, fileURLToPath(fixture(name)), ...args], env);
}

/** Runs Node to its end; one that hangs is ended, and its code is a signal then. */
function execute(args: readonly string[], env: ProgramOptions['env'] = {}): Promise<Ended> {
  const { NODE_OPTIONS, ...inherited } = process.env;
  return new Promise((resolve) => {
    const options = { cwd: root, env: { ...inherited, ...env }, timeout: LIMIT };
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? 'none'), stdout, stderr });
    });
  });
}

const SERVER = 'watchdog-server.mjs';

/** A program that ends with the test. */
function start(name: string, args?: readonly string[], options?: ProgramOptions): WatchedProgram {
  const program = new WatchedProgram(name, args, options);
  atEnd(() => program.kill());
  return program;
}

const server = (watchdog: object | boolean = true, options?: ProgramOptions): WatchedProgram =>
  start(SERVER, [JSON.stringify(watchdog)], options);

/** Of the tests that leave it as it was: it takes longer to start than most of them to run. */
let shared: WatchedProgram;
beforeAll(async () => {
  shared = new WatchedProgram(SERVER);
  await shared.untilWatched();
});
afterAll(() => shared.kill());

const onLinux = process.platform === 'linux' ? it : it.skip;

describe('by default', () => {
  it('the event loop is watched unless NODE_ENV says that it is in production, or in a test', async () => {
    const isWatched = new Map<string | null, boolean>([
      ['production', false],
      ['test', false],
      ['development', true],
      ['', true],
      [null, true],
    ]);
    const { stdout, stderr } = await runToEnd('watchdog-defaults.mjs', [JSON.stringify([...isWatched.keys()])]);
    expect({ stderr, isWatched: JSON.parse(stdout) }).toEqual({ stderr: '', isWatched: [...isWatched.values()] });
  });
});

describe('a block without an end', () => {
  it('is told of on stderr while it lasts, again and again', async () => {
    const program = server();
    await program.untilWatched();
    await program.run('loopForEver');
    await program.untilStderr(/(is blocking the event loop.*\n.*){2}/s);
    program.child.kill('SIGKILL');
    const lines = program.stderr.split('\n').filter((line) => line.includes('is blocking'));
    for (const line of lines) {
      expect(line).toMatch(
        /^\S+ warn: Task loopForEver is blocking the event loop for \d+ ms so far, at loopForEver \(\S*__tests__\/fixtures\/watchdog-server\.mjs:\d+\); move it to a module .*\{.*"task":"loopForEver".*\}$/,
      );
      expect(line).toContain(`watchdog-server.mjs:${lineWith('watchdog-server.mjs', 'for (;;)')})`);
    }
    const [first, second] = lines.map((line) => Number(/for (\d+) ms/.exec(line)?.[1])) as [number, number];
    expect(second).toBeGreaterThan(1.5 * first);
    expect(await program.exited).toBe('SIGKILL');
  });

  it('keeps to one line, whatever the name of its task', async () => {
    const program = server();
    await program.untilWatched();
    await program.run('loopForEver', 0, 'a\n2026 error: forged\u001b[2K');
    await program.untilStderr(/forged.* is blocking the event loop.*\n/);
    program.child.kill('SIGKILL');
    expect(program.stderr).toMatch(/^\S+ warn: Task a\\n2026 error: forged\\u001b\[2K is blocking the event loop/m);
  });
});

describe('requests that come during a block', () => {
  it('are counted, on new connections and on those that were there before', async () => {
    const waiting = async (clients: readonly RawClient[]): Promise<number> => {
      const before = shared.blocks.length;
      for (const client of clients) await sent(client, getText('/ping'));
      shared.child.stdin?.write('.');
      await Promise.all(clients.map((client) => client.until(/pong/)));
      const event = await shared.until(() => shared.blocks.slice(before).find(({ task }) => task?.name === 'hold'));
      for (const client of clients) client.received = '';
      return event.waitingRequests;
    };
    const hold = async (time: number): Promise<void> => {
      await shared.run('hold', 150);
      await shared.untilPrinted('holding', time);
    };
    const connect = (count: number): Promise<RawClient[]> =>
      Promise.all(Array.from({ length: count }, () => RawClient.connect(shared.port)));

    await hold(1);
    expect(await waiting(await connect(1))).toBe(1);
    await hold(2);
    const clients = await connect(7);
    expect(await waiting(clients)).toBe(7);
    await hold(3);
    expect(await waiting(clients.slice(0, 3))).toBe(3);
  });
});

/** Resolves when the system has the data: the other side could read it then. */
function sent({ socket }: RawClient, text: string): Promise<void> {
  return new Promise((resolve) => socket.write(text, () => resolve()));
}

describe('with stacks off', () => {
  it('a task is named all the same where it blocks from its start, and no code', async () => {
    const program = server({ threshold: 50, stacks: false });
    await program.untilPrinted('listening');
    for (const _time of [1, 2]) {
      expect(await program.block('spin', 200)).toMatchObject({ cause: 'task', task: { name: 'spin' }, stack: [] });
    }
    expect(program.of('log').filter(({ message }) => message.includes('continues without stacks'))).toEqual([]);
  });
});

describe('with --inspect', () => {
  const inspected = { execArgv: ['--inspect=0'] };
  const noStacksLines = (program: WatchedProgram): string[] =>
    program
      .of('log')
      .filter(({ message }) => message.includes('continues without stacks'))
      .map(({ level, message }) => `${level}: ${message}`);

  it('the watchdog works as without while nobody is connected, and does without stacks for a debugger that comes later', async () => {
    const program = server(true, inspected);
    await program.untilWatched();
    expect(await program.block('spin', 200)).toMatchObject({
      task: { name: 'spin' },
      stack: [{ function: 'spin' }],
    });
    expect(noStacksLines(program)).toEqual([]);
    const { debuggerClient, enabled } = await attachDebugger(program);
    await enabled;
    expect(await program.block('spin', 200)).toMatchObject({ task: { name: 'spin' }, stack: [] });
    expect(noStacksLines(program)).toHaveLength(1);
    expect(debuggerClient.received).not.toContain('Debugger.paused');
  });

  it('it does without stacks for a debugger that is connected, says so once, and stops nothing', async () => {
    const program = server(true, inspected);
    await program.untilPrinted('listening');
    const { debuggerClient, enabled } = await attachDebugger(program);
    await enabled;
    // The watchdog's thread takes some time to start, and to notice the debugger.
    while (noStacksLines(program).length === 0) {
      expect(await program.block('spin', 200)).toMatchObject({ cause: 'task', task: { name: 'spin' }, stack: [] });
    }
    expect(await program.block('spin', 200)).toMatchObject({ cause: 'task', task: { name: 'spin' }, stack: [] });
    expect(await program.block('announceAndSpin', 300)).toMatchObject({ task: { name: 'announceAndSpin' }, stack: [] });
    expect(noStacksLines(program)).toEqual(['info: The watchdog continues without stacks: a debugger is attached']);
    expect(debuggerClient.received).toContain('Debugger.scriptParsed');
    expect(debuggerClient.received).not.toContain('Debugger.paused');
  });
});

const OPCODE_TEXT = 0x81;
const MASKED = 0x80;

/** A minimal websocket handshake. */
async function attachDebugger(program: WatchedProgram): Promise<{ debuggerClient: RawClient; enabled: Promise<void> }> {
  const [, port, path] = await program.untilStderr(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)(\/\S+)/);
  const debuggerClient = await RawClient.connect(Number(port));
  const key = randomBytes(16).toString('base64');
  debuggerClient.send(
    getText(path, [
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${key}`,
    ]),
  );
  await debuggerClient.until(/101 Switching Protocols.*\r\n\r\n/s);
  const message = Buffer.from(JSON.stringify({ id: 1, method: 'Debugger.enable' }));
  const noMask = Buffer.alloc(4);
  debuggerClient.socket.write(Buffer.concat([Buffer.from([OPCODE_TEXT, MASKED | message.length]), noMask, message]));
  return { debuggerClient, enabled: debuggerClient.until(/"id":1,"result":\{"debuggerId"/) };
}

describe('a program that exits', () => {
  /** Spread over the time in which the watchdog samples the block: each exit comes at another point of it. */
  const durations = Array.from({ length: 7 }, (_, index) => 12 + 12 * index);
  const AT_ONCE = 3;

  it.each([
    ['spin', 'in the task'],
    ['derive', 'in the task'],
    ['spin', 'on the next turn'],
  ])('after it was blocked by %s, %s, does so at once, with its code, and prints nothing', async (how, when) => {
    const left = [...durations];
    const ended: Ended[] = [];
    const runSome = async (): Promise<void> => {
      for (let ms = left.pop(); ms !== undefined; ms = left.pop()) {
        ended.push(await runToEnd('watchdog-exit.mjs', [how, when, String(ms)]));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, runSome));
    expect(ended).toEqual(durations.map(() => ({ code: 7, stdout: '', stderr: '' })));
  });

  it('ends by itself when nothing is left to do, after a block as well', async () => {
    expect(await runToEnd('watchdog-ends.mjs')).toMatchObject({ code: 0, stderr: '' });
  });

  it('ends by itself after close() when it was a server', async () => {
    const program = server();
    await program.untilWatched();
    await program.block('spin', 300);
    await fetch(`http://127.0.0.1:${program.port}/close`, { method: 'POST', headers: { connection: 'close' } });
    expect(await program.exited).toBe(0);
    expect(program.of('closed')).toHaveLength(1);
    expect(program.stderr).toBe('');
  });
});

describe('a `debugger` statement that was left in the code', () => {
  it('stops nothing, though the watchdog has a debugger of its own', async () => {
    for (let count = 1; count <= 3; count += 1) {
      expect(await shared.block('spinOverDebuggerStatements', 300)).toMatchObject({ cause: 'task' });
    }
    expect(await shared.block('announceAndSpin', 200)).toMatchObject({ cause: 'task' });
  });
});

describe('a main thread that is paused in the middle of Node’s own code', () => {
  it('still runs its ticks afterwards', async () => {
    expect(await runToEnd('watchdog-paused-in-ticks.mjs')).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a task that ends in native code', () => {
  it('is named, though it had awaited something and none of its code runs behind the call', async () => {
    const program = server();
    await program.untilWatched();
    await program.run('writeReport', 400_000);
    await program.untilPrinted('written');
    const blocksOfReport = (): BlockedEvent[] => program.blocks.filter(({ task }) => task?.name === 'readReport');
    // On a busy machine the sample may come too late: the block is then reported without a cause.
    while (blocksOfReport().length === 0) {
      const before = program.blocks.length;
      await program.run('readReport');
      await program.until(() => program.blocks[before]);
    }
    expect(blocksOfReport()[0]).toMatchObject({ cause: 'task', request: { method: 'POST', route: '/tasks/:name' } });
  });
});

describe('a timer in a process with no other work', () => {
  it('is named though it blocks for little longer than the threshold, too short for a second look', async () => {
    const program = start('watchdog-timer.mjs', ['400', '410']);
    const named = (): BlockedEvent | undefined =>
      program.blocks.find(({ stack }) => stack.some((frame) => frame.function === 'everyNowAndThen'));
    // On a busy machine some samples come too late.
    await program.until(() => named() ?? program.blocks[20]);
    expect(named()).toMatchObject({ cause: 'other' });
  });
});

describe('a process that is stopped and goes on', () => {
  const STOPPED = 500;

  async function stop(ms: number): Promise<void> {
    shared.child.kill('SIGSTOP');
    await work(ms);
    shared.child.kill('SIGCONT');
  }

  /** Earlier blocks would have been reported before the block that is made here. */
  async function blocksUntilNow(from: number): Promise<unknown[]> {
    await shared.block('announceAndSpin', 200);
    return shared.blocks.slice(from).map(({ cause, task }) => `${cause} ${task?.name}`);
  }

  onLinux('was not blocked if it was idle', async () => {
    const before = shared.blocks.length;
    await stop(STOPPED);
    expect(await blocksUntilNow(before)).toEqual(['task announceAndSpin']);
  });

  onLinux('was not blocked if a task was waiting for its timer', async () => {
    const before = shared.blocks.length;
    await shared.run('rest', STOPPED / 2);
    await shared.untilPrinted('resting');
    await stop(STOPPED);
    await shared.untilPrinted('rested');
    expect(await blocksUntilNow(before)).toEqual(['task announceAndSpin']);
  });

  onLinux('was blocked only for as long as it ran', async () => {
    const told = shared.block('announceAndSpin', 2 * STOPPED);
    await shared.untilPrinted('spinning', shared.of('spinning').length + 1);
    await stop(4 * STOPPED);
    expect((await told).blockedMs).toBeLessThan(4 * STOPPED);
  });
});

describe('a machine that is busy', () => {
  const OTHERS = 4;
  const ENOUGH = 5;
  const ENOUGH_STARTS = 2;
  const BRIEF = 25;
  const THRESHOLD = 60;
  /** Below the threshold: the loop does some work beside the task. */
  const SURELY_BRIEF = 50;
  const onOneCore = existsSync('/usr/bin/taskset') ? onLinux : it.skip;

  function pin(child: ChildProcess, cores = '0'): void {
    execFileSync('/usr/bin/taskset', ['--all-tasks', '--pid', '--cpu-list', cores, String(child.pid)]);
  }

  const unpin = (child: ChildProcess): void => pin(child, `0-${cpus().length - 1}`);

  /** On the core that {@link pin} gives programs. */
  function startOthers(): void {
    for (let count = 0; count < OTHERS; count += 1) {
      const other = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
      atEnd(() => other.kill('SIGKILL'));
      pin(other);
    }
  }

  onOneCore('makes tasks take longer, and none of them is reported as if it had blocked', async () => {
    const program = server({ threshold: THRESHOLD });
    await program.untilWatched();
    startOthers();
    pin(program.child);
    const keptWaiting = (): Printed[] =>
      program.of('took').filter(({ ms, ownMs }) => ms > THRESHOLD && ownMs < SURELY_BRIEF);
    for (let count = 1; keptWaiting().length < ENOUGH; count += 1) {
      await program.run('spinAndTellHowLong', BRIEF);
      await program.untilPrinted('took', count);
    }
    // Earlier blocks would have been reported before this.
    await program.block('announceAndSpin', 200);
    const told = program.blocks.filter(({ task }) => task?.name === 'spinAndTellHowLong');
    // Not all that it lacked counts as waiting: not what a hypervisor takes, nor the time that the threads take which help
    // to collect its garbage, when it is they that have no core.
    const mayBeTold = program.of('took').filter(({ ownMs }) => ownMs >= SURELY_BRIEF);
    expect(told.slice(mayBeTold.length)).toEqual([]);
  });

  onOneCore(
    'makes the first work take longer, and it is not reported though the watchdog itself only starts',
    async () => {
      const [threshold, brief, surelyBrief] = [150, 40, 80];
      startOthers();
      for (let seen = 0; seen < ENOUGH_STARTS; ) {
        const program = start('watchdog-first-turn.mjs', [String(threshold), String(brief)]);
        await program.untilPrinted('ready');
        pin(program.child);
        program.child.stdin?.write('go');
        const took = await program.untilPrinted('took');
        unpin(program.child);
        // Earlier blocks would have been reported before this.
        await program.until(() => program.blocks.find(({ task }) => task?.name === 'second'));
        if (took.ms > threshold && took.ownMs < surelyBrief) {
          seen += 1;
          expect(program.blocks.filter(({ task }) => task?.name !== 'second')).toEqual([]);
        }
        await program.kill();
      }
    },
  );
});

describe('watchdogs of several realms of one process', () => {
  it('pause the main thread one at a time, and it always goes on', async () => {
    expect(await runScript('script-watchdogs-of-realms.cjs')).toBe('ended\n');
  });
});

describe('a server in a worker thread', () => {
  it('is told of its blocks without stacks, and each instance once of the reason: only the main thread has any', async () => {
    const program = start('watchdog-in-worker.mjs');
    expect(await program.exited).toBe(0);
    expect(program.stderr).toBe('');
    expect(program.of('worker ended')).toHaveLength(1);
    // On a busy machine other code may take long as well.
    expect(program.blocks.filter(({ cause }) => cause === 'task')).toMatchObject([
      { cause: 'task', task: { name: 'sendReport' }, request: { method: 'POST', route: '/reports/:id' }, stack: [] },
      { cause: 'task', task: { name: 'sendReport' }, request: { method: 'POST', route: '/reports/:id' }, stack: [] },
    ]);
    const noStacksLines = program.of('log').filter(({ message }) => message.includes('continues without stacks'));
    const line = { level: 'info', message: expect.stringContaining('only the main thread') };
    expect(noStacksLines).toMatchObject([line, line]);
  });
});

describe('a program that has the package twice', () => {
  it('is told of each block once, by the instance that has the task', async () => {
    const program = start('watchdog-both-builds.mjs');
    expect(await program.exited).toBe(0);
    expect(program.of('blocked')).toMatchObject([
      { by: 0, event: { task: { name: 'block' } } },
      { by: 1, event: { task: { name: 'block' } } },
    ]);
  });
});

describe('the lines that are named', () => {
  const directory = mkdtempSync(join(tmpdir(), 'background-tasks-watchdog-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const typed = fixture('watchdog-typed.ts');

  async function renderRowsOf(module: URL, execArgv: readonly string[]): Promise<BlockedFrame | undefined> {
    const { stdout, stderr } = await runToEnd('watchdog-module.mjs', [module.href], { execArgv });
    if (stdout === '') throw new Error(stderr);
    const frames = JSON.parse(stdout) as BlockedFrame[];
    return frames.find((frame) => frame.function === 'renderRows');
  }

  const expected = {
    file: '__tests__/fixtures/watchdog-typed.ts',
    line: lineWith('watchdog-typed.ts', 'while (!isOver(clock))'),
  };

  it('are those of the TypeScript under tsx', async () => {
    expect(await renderRowsOf(typed, ['--import', 'tsx'])).toMatchObject(expected);
  });

  const stripsTypes = (process.features as { typescript?: unknown }).typescript ? it : it.skip;
  stripsTypes('are those of the TypeScript where Node strips the types', async () => {
    expect(await renderRowsOf(typed, [])).toMatchObject(expected);
  });

  it.each([[['--enable-source-maps']], [[]]])(
    'are those of the TypeScript that was compiled, with the options %p',
    async (execArgv) => {
      const source = readFileSync(typed, 'utf8');
      const { code, map } = transformSync(source, {
        filename: fileURLToPath(typed),
        sourceFileName: typed.href,
        sourceMaps: true,
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      });
      writeFileSync(join(directory, 'typed.mjs'), `${code}\n//# sourceMappingURL=typed.mjs.map\n`);
      writeFileSync(join(directory, 'typed.mjs.map'), map as string);
      expect(code.split('\n').findIndex((line) => line.includes('while (!isOver(clock))')) + 1).not.toBe(expected.line);
      expect(await renderRowsOf(pathToFileURL(join(directory, 'typed.mjs')), execArgv)).toMatchObject(expected);
    },
  );

  it('are those that run where the map is missing or broken', async () => {
    const source =
      'export function renderRows({ ms }) {\n  const end = performance.now() + ms;\n  while (performance.now() < end);\n}\n';
    const file = join(directory, 'unmapped.mjs');
    for (const map of ['missing.mjs.map', 'data:application/json;base64,bm90IGpzb24=']) {
      writeFileSync(file, `${source}//# sourceMappingURL=${map}\n`);
      expect(await renderRowsOf(pathToFileURL(file), [])).toMatchObject({ file, line: 3 });
    }
  });
});

describe('heavy load that behaves', () => {
  it('is reported without blaming any code', async () => {
    const { code, stdout, stderr } = await execute([
      join(root, 'scripts/watchdog-false-positives.mjs'),
      '--seconds',
      '2',
    ]);
    // A server that stopped in the middle leaves nothing on stdout.
    expect({ stderr, hasReport: stdout !== '' }).toEqual({ stderr: '', hasReport: true });
    const { tasks, collections, byCause, byTask, proof } = JSON.parse(stdout);
    // First: it shows what was blamed, and for how long.
    expect({ byTask, blamed: { ...byCause, load: undefined, 'garbage-collection': undefined } }).toEqual({
      byTask: {},
      blamed: {},
    });
    expect(code).toBe(0);
    expect(tasks).toBeGreaterThan(100);
    expect(collections).toBeGreaterThan(0);
    // It was watched all the time: a task that did block was reported at the end.
    expect(proof).toBe('task');
  });
});
