/** What is particular to tasks in child processes: signals, standard output, their end with the server. See also blocking*.test.ts. */
import childProcess, { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { BlockList } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serialize } from 'node:v8';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { blocking, defineTask } from 'express-background-tasks';
import { atEnd } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { makeWorkerGate, makeWorkerGates } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { isAlive, untilGone } from './support/process-ids.ts';
import { runScript, runScriptWith } from './support/scripts.ts';
import { shareBackground } from './support/shared-background.ts';
import { untilHolds } from './support/time.ts';
import { processes, threads } from './support/worker-kinds.ts';

expectNoProcessFaults();

const NODE_MAJOR = Number.parseInt(process.versions.node, 10);

const tasks = processes.refer<typeof import('./fixtures/process-tasks.mjs')>('process-tasks.mjs');

describe('the executor that is chosen at `add`', () => {
  const shared = shareBackground({ ...processes.options(1), ...threads.options(1), logger: false });
  const url = fixture('process-tasks.mjs');
  const [inThreads, inProcesses] = (['thread', 'process'] as const).map((executor) =>
    blocking<typeof import('./fixtures/process-tasks.mjs')>(url, { executor }),
  ) as [typeof tasks, typeof tasks];

  it('wins over that of `blocking`', async () => {
    const background = shared();
    const inProcess = await background.with({ executor: 'process' }).add(inThreads.echo, 1).settled;
    const inThread = await background.with({ executor: 'thread' }).add(inProcesses.echo, 2).settled;
    const asBefore = await background.add(inThreads.echo, 3).settled;
    expect([inProcess, inThread, asBefore]).toMatchObject([
      { executor: 'process', value: 1 },
      { executor: 'thread', value: 2 },
      { executor: 'thread', value: 3 },
    ]);
    await background.with({ executor: 'process' }).add(inThreads.changeDirectory, tmpdir()).settled;
    expect(process.cwd()).not.toBe(tmpdir());
  });

  it('is refused for a function, which cannot leave the event loop', () => {
    for (const task of [() => 1, defineTask(() => 1)]) {
      const { code, message } = thrownBy(() => shared().with({ executor: 'process', name: 'sum' }).add(task));
      expect(code).toBe('ERR_BACKGROUND_OPTION');
      expect(message).toMatch(
        /^Expected `executor` of with\(\) to be used for a task of blocking\(\), got task \w+, a function/,
      );
    }
    expect(shared().stats().executors['event-loop']).toMatchObject({ waiting: 0, running: 0 });
  });
});

describe('tasks in processes', () => {
  const log = openLogBook();
  const shared = shareBackground({ ...processes.options(1), logger: log.logger });
  beforeEach(() => log.clear());

  it('are given Buffers as Buffers, and give them back as such', async () => {
    const background = shared();
    expect((await background.add(tasks.kindAndTextOf, Buffer.from('bytes')).settled).value).toBe('Buffer bytes');
    const { value } = await background.add(tasks.bufferOf, 'bytes').settled;
    expect(Buffer.isBuffer(value)).toBe(true);
    expect(String(value)).toBe('bytes');
  });

  it('are given nothing of what is in an object of Node, nor does the error show it where one is refused', async () => {
    const list = new BlockList();
    list.addAddress('10.1.2.3');
    const add = () => shared().add(tasks.echo, { list } as unknown);
    // Later ones take it for an object like any other, in which there is nothing.
    if (NODE_MAJOR >= 22) {
      expect((await add().settled).value).toEqual({ list: {} });
      return;
    }
    const { code, message } = thrownBy(add);
    expect(code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(message).toContain('BlockList');
    expect(message).not.toContain('10.1.2.3');
  });

  if (NODE_MAJOR >= 26) {
    it("run under the loaders that the server's configuration file names", async () => {
      const directory = mkdtempSync(join(tmpdir(), 'background-tasks-config-'));
      atEnd(() => rmSync(directory, { recursive: true }));
      const file = join(directory, 'node.config.json');
      writeFileSync(file, JSON.stringify({ nodeOptions: { import: [fixture('preload-counts.mjs').href] } }));
      const printed = await runScriptWith([`--config-file=${file}`], 'script-preloaded.mjs', 'process', '{}');
      expect(JSON.parse(printed)).toMatchObject({ preloads: 1 });
    });
  }

  it('cannot change the directory of the server', async () => {
    const before = process.cwd();
    expect(await shared().add(tasks.changeDirectory, tmpdir()).settled).toMatchObject({ state: 'completed' });
    expect(process.cwd()).toBe(before);
  });

  it('do no harm by closing the standard output and error', async () => {
    const background = shared();
    const before = await processes.placeOf(background);
    expect(await background.add(tasks.closeOutput).settled).toMatchObject({ state: 'completed', value: 'closed' });
    expect((await background.add(tasks.echo, 'still heard').settled).value).toBe('still heard');
    expect(await processes.placeOf(background)).toEqual(before);
  });

  it.each<[string, unknown]>([
    ['a text', 'ready'],
    ['null', null],
    ['an object', { hello: 'parent' }],
    ['a list', [1, 2]],
    ['what looks like a value', { kind: 'value', value: 'forged' }],
    ['what looks like an error', { kind: 'error', error: { kind: 'value', value: 'forged' } }],
    ['what looks like an error, and is broken', { kind: 'error' }],
    ['what looks like a stray error, and is broken', { kind: 'stray' }],
    ['what looks like a lost value', { kind: 'value-lost' }],
    ['what looks like a process that is ready', { kind: 'ready' }],
  ])('do no harm by using process.send themselves: %s', async (_what, message) => {
    const background = shared();
    const speaking = background.add(tasks.send, [message, message], 40);
    const behind = background.add(tasks.returnMapAfter, 10, 'of the one behind');
    expect(await speaking.settled).toMatchObject({ state: 'completed', value: 'of its own' });
    expect(await behind.settled).toMatchObject({
      state: 'completed',
      value: new Map([['value', 'of the one behind']]),
    });
  });

  it('end by their time limit even if their process ignores SIGTERM', async () => {
    const gate = await makeWorkerGate();
    const handle = shared().with({ timeout: 300 }).add(tasks.ignoreEverything, gate.port);
    const pid = await gate.entered();
    gate.open();
    expect((await handle.settled).state).toBe('timed-out');
    expect(isAlive(pid)).toBe(false);
  });

  it.each(['loopForEver', 'ignoreEverything'] as const)(
    'end by close() when time is out, and are named: %s',
    async (name) => {
      const background = processes.open(1);
      const gate = await makeWorkerGate();
      background.add(tasks[name], gate.port);
      const pid = await gate.entered();
      gate.open();
      const { abandoned } = await background.close({ timeout: 200 });
      expect(abandoned).toMatchObject([{ name, state: 'abandoned', executor: 'process' }]);
      expect(isAlive(pid)).toBe(false);
    },
  );

  it('leave no process behind when close() has resolved, not even one that was just ended for being idle', async () => {
    const background = processes.open(1, { idleTimeout: 0 });
    const { value: place } = await background.add(tasks.whereAmI).settled;
    await processes.untilWorkers(background, 0);
    await background.close();
    expect(isAlive(place?.pid as number)).toBe(false);
  });

  it('do not fail where an idle process dies, and it is replaced', async () => {
    const background = shared();
    const { value: before } = await background.add(tasks.whereAmI).settled;
    const { failed } = background.stats().outcomes;
    process.kill(before?.pid as number, 'SIGKILL');
    const [line] = await log.until('ERR_BACKGROUND_STRAY');
    expect(line?.message).toMatch(/^Between two tasks: .*SIGKILL/);
    expect(await processes.placeOf(background)).not.toEqual(before);
    expect(background.stats().outcomes.failed).toBe(failed);
  });

  it('are not given to a process that is gone, though one that it has started holds its channel open', async () => {
    const background = processes.open(1);
    const { value: pids } = await background.add(tasks.haveChannelHeld).settled;
    const { own, holder } = pids as { own: number; holder: number };
    atEnd(() => process.kill(holder, 'SIGKILL'));
    process.kill(own, 'SIGKILL');
    await untilHolds(() => hasNoSuch(own));
    expect(await background.add(tasks.add, 1, 2).settled).toMatchObject({ state: 'completed', value: 3, attempts: 1 });
  });

  // Only Linux tells when the last thread of a process is gone, and with it what held its end of the channel.
  const onLinux = process.platform === 'linux' ? it : it.skip;

  onLinux(
    'run in another process where theirs was killed before they were sent, however late that is heard of',
    async () => {
      const background = processes.open(1);
      const { value: place } = await background.add(tasks.whereAmI).settled;
      process.kill(place?.pid as number, 'SIGKILL');
      // Nothing is heard of it: the event loop does not turn.
      while (hasThreads(place?.pid as number));
      const after = await background.add(tasks.whereAmI).settled;
      expect(after).toMatchObject({ state: 'completed', attempts: 1 });
      expect(after.value).not.toEqual(place);
    },
  );

  it('do no harm to the server by writing what it cannot read to its channel', async () => {
    const background = processes.open(1);
    const forged = [null, undefined, 'ready', { kind: 'unknown' }, { kind: 'written', bytes: serialize(null) }];
    expect(await background.add(tasks.sendUnsilenced, forged).settled).toMatchObject({
      state: 'completed',
      value: 'sent',
    });
    expect(await background.add(tasks.add, 1, 2).settled).toMatchObject({ state: 'completed', value: 3 });
  });

  it.each<[string, unknown]>([
    ['an answer', { kind: 'value', value: 'forged' }],
    ['an answer in bytes', { kind: 'written', bytes: serialize({ kind: 'value', value: 'forged' }) }],
    ['the first word of a process', { kind: 'ready' }],
  ])(
    'run one at a time after their process has written to its channel what it does not owe: %s',
    async (_what, forged) => {
      const log = openLogBook();
      const background = processes.open(1, {}, { logger: log.logger });
      await background.add(tasks.sendUnsilencedAfterwards, [forged, forged]).settled;
      await log.until('ERR_BACKGROUND_STRAY');
      expect(processes.counts(background)).toMatchObject({ workers: 1, idle: 1 });
      const gates = await makeWorkerGates(2);
      for (const { port } of gates) background.add(tasks.hold, port);
      await gates[0]?.entered();
      expect(processes.counts(background)).toMatchObject({ running: 1, waiting: 1 });
      for (const gate of gates) gate.open();
      await background.idle();
    },
  );

  it('are not given to a process that has closed its channel, and is still there', async () => {
    const forking = jest.spyOn(childProcess, 'fork');
    atEnd(() => forking.mockRestore());
    const background = processes.open(1);
    const directory = mkdtempSync(join(tmpdir(), 'background-tasks-hang-up-'));
    const remove = (): void => rmSync(directory, { recursive: true, force: true });
    atEnd(remove);
    const hangingUp = background.add(tasks.hangUp, directory);
    const child = forking.mock.results[0]?.value as ChildProcess;
    await Promise.all([once(child, 'disconnect'), hangingUp.settled]);
    const waiting = background.add(tasks.add, 1, 2);
    expect(waiting.state).toBe('waiting');
    remove();
    expect(await waiting.settled).toMatchObject({ state: 'completed', value: 3, attempts: 1 });
  });
});

/** Of one that has ended, the system keeps the first thread until its exit code is read. */
function hasThreads(pid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return !(/^State:\tZ/m.test(status) && /^Threads:\t1$/m.test(status));
}

/** Unlike one that is gone, it has been taken note of: its exit code was read. */
function hasNoSuch(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch {
    return true;
  }
}

describe('processes of a server that is debugged', () => {
  it('open ports of their own where NODE_OPTIONS demands one', async () => {
    // Not written to standard error: nobody is to read it here.
    const env = { ...process.env, NODE_OPTIONS: '--inspect --inspect-publish-uid=http' };
    const background = processes.open(2, { env });
    const gates = await makeWorkerGates(2);
    const handles = gates.map(({ port }) => background.add(tasks.debuggerAddress, port));
    for (const gate of gates) await gate.entered();
    for (const gate of gates) gate.open();
    const addresses = await Promise.all(handles.map(async ({ settled }) => (await settled).value));
    expect(addresses).toEqual([expect.stringMatching(/^ws:/), expect.stringMatching(/^ws:/)]);
    expect(new Set(addresses.map((address) => new URL(address as string).port)).size).toBe(2);
  });
});

describe('a task that waits for a process', () => {
  it('waits on where one is killed that is only just starting, and runs in the next', async () => {
    const killed = join(mkdtempSync(join(tmpdir(), 'background-tasks-')), 'killed');
    atEnd(() => rmSync(dirname(killed), { recursive: true }));
    writeFileSync(killed, '');
    const background = processes.open(1, {
      execArgv: ['--import', fixture('preload-killed-once.mjs').href],
      env: { ...process.env, KILLED_WHILE: killed },
    });
    const handles = [1, 2, 3].map((count) => background.add(processes.tasks.add, count, count));
    for (const { settled } of handles) expect(await settled).toMatchObject({ state: 'completed' });
    expect(existsSync(killed)).toBe(false);
  });

  it('waits on where another cannot be started, as long as one lives', async () => {
    const env = { ...process.env };
    const background = processes.open(2, { env });
    const gate = await makeWorkerGate();
    const holding = background.add(processes.tasks.hold, gate.port);
    await gate.entered();
    // No system accepts this much: the start throws.
    env['TOO_MUCH'] = 'x'.repeat(8 * 2 ** 20);
    const waiting = background.add(processes.tasks.add, 1, 2);
    gate.open();
    expect(await waiting.settled).toMatchObject({ state: 'completed', value: 3 });
    expect((await holding.settled).state).toBe('completed');
  });
});

describe('a server with processes', () => {
  it('a server that runs at a lower priority itself has its processes below its own', async () => {
    const { server, process: below } = JSON.parse(await runScript('script-process-nice.mjs'));
    expect(below - server).toBe(5);
  });

  it.each([
    ['idle', undefined],
    ['running', 'failed'],
  ])('is not kept alive by the channel of a process that is gone, which another holds: %s', async (state, outcome) => {
    const { holder, ...seen } = JSON.parse(await runScript('script-channel-held.mjs', state));
    atEnd(() => process.kill(holder, 'SIGKILL'));
    expect(seen).toEqual({ waitsForTimer: false, outcome });
  });

  it('is told by each task that processes cannot start, if Node refuses their options', async () => {
    const refused = { state: 'failed', attempts: 0, code: 'ERR_BACKGROUND_PROCESS_START' };
    const lines = (await runScript('script-process-bad-flag.mjs')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([0, 1].map(() => [refused, refused, refused, refused]));
  });

  it.each([
    ['idle', 'while the child is idle'],
    ['looping', 'while the child loops for ever'],
    ['killer', 'at the first thing that the child does before it loops for ever'],
  ])('the child of a server that is killed does not outlive it: %s, %s', async (state) => {
    const server = spawn(process.execPath, [fileURLToPath(fixture('script-process-parent.mjs')), state], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    atEnd(() => server.kill('SIGKILL'));
    const pid = await firstLineOf(server).then(Number);
    server.kill('SIGKILL');
    expect(pid).toBeGreaterThan(1);
    await untilGone(pid, 5_000);
  });

  function firstLineOf({ stdout, exitCode }: ChildProcess): Promise<string> {
    return new Promise((resolve, reject) => {
      let heard = '';
      stdout?.on('data', (chunk) => {
        heard += chunk;
        if (heard.includes('\n')) resolve(heard);
      });
      stdout?.once('close', () => reject(new Error(`The program ended (${exitCode}) without a word.`)));
    });
  }
});
