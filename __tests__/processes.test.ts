/** Tasks in child processes: what they can do, what can happen to them, and that nothing of it happens to the server. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  type BackgroundTaskError,
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  move,
  type Outcome,
} from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { makeProcessGate } from './support/process-gate.ts';
import { isAlive, untilGone } from './support/process-ids.ts';
import { work } from './support/promises.ts';
import { bareHttp, serve } from './support/servers.ts';
import { shareThread } from './support/shared-thread.ts';

jest.setTimeout(10_000);
expectNoProcessFaults();

const fixture = (name: string): URL => new URL(`./fixtures/${name}`, import.meta.url);

interface Surroundings {
  readonly greeting: string | undefined;
  readonly home: string | undefined;
  readonly argv: readonly string[];
  readonly priority: number;
  readonly hasGc: boolean;
}

interface ProcessTasks {
  add(a: number, b: number): number;
  echo(value: unknown): unknown;
  nothing(): void;
  pid(): number;
  describeTask(): { id: string; name: string; attempt: number; context: unknown; isAborted: boolean };
  surroundings(): Surroundings;
  kindOf(value: unknown): string;
  bufferOf(text: string): Buffer;
  hold(port: number): Promise<number>;
  loopForEver(port?: number): Promise<void>;
  ignoreEverything(port: number): Promise<void>;
  waitForSignal(port: number): Promise<void>;
  failUntil(attempt: number, how: 'throw' | 'exit'): number;
  exitWith(code: number): void;
  abort(): void;
  kill(signal: NodeJS.Signals): Promise<void>;
  fillHeap(): void;
  returnAndExit(code: number): string;
  changeDirectory(directory: string): string;
  closeOutput(): string;
  send(messages: readonly unknown[], ms: number): Promise<string>;
  after(ms: number, value: string): Promise<string>;
  leaveThrowingTimer(ms: number): string;
  leaveRejection(): string;
  throwInOwnTimer(): Promise<void>;
  returnFunction(): unknown;
  returnShared(): unknown;
}

const tasks = blocking<ProcessTasks>(fixture('process-tasks.mjs'), { executor: 'process' });

function withProcesses(maxProcesses: number, options: BackgroundTasksOptions = {}): BackgroundTasks {
  return makeBackground({ ...options, processes: { maxProcesses, ...options.processes } });
}

// One instance with one process for all tests that leave it as it was: a process takes longer to start than most of them to run.
const log = openLogBook();
const shared = shareThread({ logger: log.logger, processes: { maxProcesses: 1 } });
beforeEach(() => log.clear());

const processesOf = (background: BackgroundTasks): number => background.stats().executors.process.processes;

/** Lets time pass by tasks that take some, until the pool has come to what the test waits for. */
async function untilProcesses(background: BackgroundTasks, count: number): Promise<void> {
  while (processesOf(background) !== count) await background.add(work, 5).settled;
}

async function pidOf(background: BackgroundTasks): Promise<number> {
  const { value } = await background.add(tasks.pid).settled;
  return value as number;
}

function codeOf(outcome: Outcome): unknown {
  return (outcome.error as BackgroundTaskError | undefined)?.code;
}

function thrownBy(call: () => unknown): BackgroundTaskError {
  try {
    call();
  } catch (thrown) {
    return thrown as BackgroundTaskError;
  }
  throw new Error('expected a throw');
}

describe('tasks for processes', () => {
  it('run in a child process, and return their value', async () => {
    const background = shared();
    const outcome = await background.add(tasks.add, 20, 22).settled;
    expect(outcome).toMatchObject({ state: 'completed', executor: 'process', name: 'add', attempts: 1, value: 42 });
    expect(await pidOf(background)).not.toBe(process.pid);
  });

  it('are counted apart from those for threads', async () => {
    const background = withProcesses(1);
    await background.add(tasks.nothing).settled;
    const { thread, process: processes } = background.stats().executors;
    expect(processes).toMatchObject({ processes: 1, idleProcesses: 1, maxProcesses: 1, outcomes: { completed: 1 } });
    expect(thread).toMatchObject({ threads: 0, outcomes: { completed: 0 } });
  });

  it('know their own id, name, attempt and signal', async () => {
    const handle = shared().with({ name: 'described' }).add(tasks.describeTask);
    const { value } = await handle.settled;
    expect(value).toEqual({ id: handle.id, name: 'described', attempt: 1, context: undefined, isAborted: false });
  });

  it('know the context of their request', async () => {
    const background = withProcesses(1, { context: (req) => ({ path: req.url, since: new Date(0) }) });
    const settled: Promise<Outcome>[] = [];
    const port = await serve(
      bareHttp.listener([background], (_req, res) => {
        settled.push(res.locals.backgroundTasks.add(tasks.describeTask).settled);
        res.end();
      }),
    );
    await request(port, { path: '/orders/7' });
    const [outcome] = await Promise.all(settled);
    expect(outcome?.value).toMatchObject({ context: { path: '/orders/7', since: new Date(0) } });
  });

  it('start after the response, one after the other, in the order added', async () => {
    const background = withProcesses(2);
    const events: string[] = [];
    background.on('started', ({ name }) => events.push(`started ${name}`));
    background.on('settled', ({ name }) => events.push(`settled ${name}`));
    const port = await serve(
      bareHttp.listener([background], (_req, res) => {
        const list = res.locals.backgroundTasks;
        list.with({ name: 'first' }).add(tasks.after, 30, 'value');
        list.with({ name: 'second' }).add(tasks.nothing);
        res.once('finish', () => events.push('finished'));
        res.end();
      }),
    );
    await request(port);
    await background.idle();
    expect(events).toEqual(['finished', 'started first', 'settled first', 'started second', 'settled second']);
  });
});

describe('arguments and results', () => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['NaN', Number.NaN],
    ['a BigInt', 2n ** 80n],
    ['a nested plain object', { a: [{ b: { c: [1, 'two', null] } }] }],
    ['a Map', new Map([['key', new Map([[1, 'one']])]])],
    ['a Set', new Set([1, 'two'])],
    ['a Date', new Date(86_400_000)],
    ['a RegExp', /a+/giu],
    ['a Uint8Array', new Uint8Array([1, 2, 3])],
    ['a part of a Uint8Array', new Uint8Array([1, 2, 3, 4, 5]).subarray(1, 4)],
    ['a Float64Array', new Float64Array([0.5, -0])],
    ['a BigInt64Array', new BigInt64Array([-1n, 2n ** 40n])],
    ['an ArrayBuffer', new Uint8Array([9, 8]).buffer],
    ['a sparse array', Object.assign(new Array(3), { 0: 'first', 2: 'third' })],
    ['several megabytes', 'x'.repeat(4_000_000)],
  ])('cross both ways: %s', async (_what, given) => {
    const { state, value } = await shared().add(tasks.echo, given).settled;
    expect(state).toBe('completed');
    expect(value).toEqual(given);
  });

  it.each<[string, unknown, string]>([
    ['a Map', new Map(), '[object Map]'],
    ['a Date', new Date(), '[object Date]'],
    ['a BigInt', 1n, '[object BigInt]'],
    ['a Buffer', Buffer.from('bytes'), 'Buffer bytes'],
    ['a Uint16Array', new Uint16Array(2), '[object Uint16Array]'],
  ])('arrive as what they were: %s', async (_what, given, kind) => {
    expect((await shared().add(tasks.kindOf, given).settled).value).toBe(kind);
  });

  it('come back as Buffers where they are Buffers', async () => {
    const { value } = await shared().add(tasks.bufferOf, 'bytes').settled;
    expect(Buffer.isBuffer(value)).toBe(true);
    expect(String(value)).toBe('bytes');
  });

  it('that refer to themselves arrive as they are', async () => {
    const circular: { name: string; self?: unknown } = { name: 'ring' };
    circular.self = circular;
    const { value } = await shared().add(tasks.echo, circular).settled;
    expect((value as typeof circular).self).toBe(value);
  });

  it('are taken as they are at add: what is changed later does not reach the task', async () => {
    const order = { items: ['a'], bytes: Buffer.from('before') };
    const echoed = shared().add(tasks.echo, order);
    order.items.push('b');
    order.bytes.write('after!');
    const { value } = await echoed.settled;
    expect(value).toMatchObject({ items: ['a'] });
    expect(String((value as typeof order).bytes)).toBe('before');
  });

  it('that are moved leave the caller, and arrive', async () => {
    const bytes = new Uint8Array(10_000).fill(7);
    const handle = shared().add(tasks.echo, move(bytes));
    expect(bytes.byteLength).toBe(0);
    const { value } = await handle.settled;
    expect(value).toEqual(new Uint8Array(10_000).fill(7));
  });

  const portToSend = (): unknown => {
    const { port1, port2 } = new MessageChannel();
    atEnd(() => port1.close());
    return port2;
  };

  it.each<[string, () => unknown]>([
    ['a function', () => () => {}],
    ['a function inside an object', () => ({ on: { done: () => {} } })],
    ['a symbol', () => Symbol('s')],
    ['a Proxy', () => new Proxy({}, {})],
    ['a promise', () => Promise.resolve(1)],
    ['a SharedArrayBuffer', () => new SharedArrayBuffer(8)],
    ['a SharedArrayBuffer inside a Map', () => new Map([['memory', new SharedArrayBuffer(8)]])],
    ['a typed array in shared memory', () => new Int32Array(new SharedArrayBuffer(8))],
    ['a MessagePort', portToSend],
    ['a MessagePort that is moved', () => move(portToSend() as Uint8Array)],
  ])('that cannot cross are refused in add: %s', (_what, make) => {
    const background = withProcesses(1);
    const error = thrownBy(() => background.add(tasks.add as never, 1 as never, make() as never));
    expect(error.code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(error.message).toContain('task add');
    expect(background.stats()).toMatchObject({ added: 0, executors: { process: { processes: 0 } } });
  });

  it('that are refused are named by their index', () => {
    const background = withProcesses(1);
    const error = thrownBy(() => background.add(tasks.add as never, 1 as never, (() => {}) as never));
    expect(error.message).toContain('argument 1 of task add');
  });
});

describe('a result that cannot cross', () => {
  it.each(['returnFunction', 'returnShared'] as const)(
    'leaves the task completed without a value, warns once, and the process lives: %s',
    async (name) => {
      const background = shared();
      const before = await pidOf(background);
      expect(await background.add(tasks[name]).settled).toMatchObject({ state: 'completed', value: undefined });
      expect(log.lines.filter(({ level }) => level === 'warn')).toMatchObject([
        { task: name, code: 'ERR_BACKGROUND_RESULT_NOT_CLONEABLE' },
      ]);
      expect(await pidOf(background)).toBe(before);
    },
  );
});

describe('an error that a process throws', () => {
  interface Errors {
    storage(): void;
    aggregate(): void;
    flaky(): void;
    nul(): void;
    undef(): void;
    plain(): void;
    pollution(): void;
    unclonableProperty(): void;
    byName(name: string): void;
  }
  const errors = blocking<Errors>(fixture('thread-errors.mjs'), { executor: 'process' });
  it('keeps its name, message, stack, code, causes and own properties', async () => {
    const { state, error } = await shared().add(errors.storage).settled;
    expect(state).toBe('failed');
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'StorageError',
      message: 'upload failed',
      code: 'ETIMEDOUT',
      attempts: 3,
      details: { bucket: 'images', keys: ['a', 'b'] },
      cause: { name: 'TypeError', cause: { message: 'connection refused', code: 'ECONNREFUSED', port: 9000 } },
    });
    expect(error?.stack).toContain('thread-errors.mjs');
    expect(error?.cause).toBeInstanceOf(TypeError);
  });

  it('stays an instance of its class', async () => {
    expect((await shared().add(errors.byName, 'RangeError').settled).error).toBeInstanceOf(RangeError);
    const { error } = await shared().add(errors.aggregate).settled;
    expect(error).toBeInstanceOf(AggregateError);
    expect((error as AggregateError).errors).toHaveLength(3);
  });

  it('is what `retryIf` is asked about', async () => {
    const retryIf = ({ code }: { code?: unknown }): boolean => code === 'ETIMEDOUT';
    const outcome = await shared()
      .with({ retry: { attempts: 10, delay: 0, retryIf } })
      .add(errors.flaky).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 3, error: { code: 'EACCES', message: 'attempt 3' } });
  });

  it.each(['nul', 'undef', 'plain', 'pollution', 'unclonableProperty'] as const)(
    'fails its task, whatever it is, and the process lives: %s',
    async (name) => {
      const background = shared();
      const before = await pidOf(background);
      const { state, error } = await background.add(errors[name]).settled;
      expect(state).toBe('failed');
      expect(error).toBeInstanceOf(Error);
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
      expect(await pidOf(background)).toBe(before);
    },
  );

  it('names what is missing where the module or the export is', async () => {
    const broken = blocking<{ work(): void }>(fixture('thread-throws.mjs'), { executor: 'process' });
    const missing = blocking<{ missing(): void }>(fixture('thread-named.cjs'), { executor: 'process' });
    const background = shared();
    const before = await pidOf(background);
    const outcome = await background.add(broken.work).settled;
    expect(outcome.error).toMatchObject({ code: 'ERR_BACKGROUND_MODULE', cause: { code: 'E_NO_CONFIGURATION' } });
    expect(codeOf(await background.add(missing.missing).settled)).toBe('ERR_BACKGROUND_EXPORT');
    expect(await pidOf(background)).toBe(before);
  });
});

describe('order and priority', () => {
  it('are those of adding within a priority, and prefer the higher number', async () => {
    const background = withProcesses(1);
    const gate = await makeProcessGate();
    background.with({ name: 'first' }).add(tasks.hold, gate.port);
    await gate.entered();
    const started: string[] = [];
    background.on('started', ({ name }) => started.push(name));
    for (const [name, priority] of [
      ['low 1', -5],
      ['normal 1', 0],
      ['high 1', 10],
      ['low 2', -5],
      ['high 2', 10],
      ['normal 2', undefined],
    ] as const) {
      background.with({ name, priority }).add(tasks.nothing);
    }
    gate.open();
    await background.idle();
    expect(started).toEqual(['high 1', 'high 2', 'normal 1', 'normal 2', 'low 1', 'low 2']);
  });
});

describe('processes', () => {
  it('are not started before the first task for them', async () => {
    const background = withProcesses(2);
    await background.add(() => 'on the event loop').settled;
    expect(processesOf(background)).toBe(0);
    await background.add(tasks.nothing).settled;
    expect(processesOf(background)).toBe(1);
  });

  it('are started at once where `minProcesses` asks for them, and kept however long they are idle', async () => {
    const background = withProcesses(2, { processes: { minProcesses: 1, idleTimeout: 20 } });
    expect(processesOf(background)).toBe(1);
    const gates = [await makeProcessGate(), await makeProcessGate()];
    for (const { port } of gates) background.add(tasks.hold, port);
    const pids = [];
    for (const gate of gates) pids.push(await gate.entered());
    expect(new Set(pids).size).toBe(2);
    for (const gate of gates) gate.open();
    await background.idle();
    await untilProcesses(background, 1);
    await background.add(work, 100).settled;
    expect(processesOf(background)).toBe(1);
    expect(pids).toContain(await pidOf(background));
  });

  it('are never more than `maxProcesses`, and run one task at a time each', async () => {
    const background = withProcesses(2);
    const gates = [await makeProcessGate(), await makeProcessGate()];
    for (const { port } of gates) background.add(tasks.hold, port);
    background.add(tasks.nothing);
    for (const gate of gates) await gate.entered();
    const { process: busy } = background.stats().executors;
    expect(busy).toMatchObject({ running: 2, waiting: 1, processes: 2, idleProcesses: 0 });
    for (const gate of gates) gate.open();
    await background.idle();
    expect(background.stats().executors.process).toMatchObject({ running: 0, waiting: 0, idleProcesses: 2 });
  });

  it('end after `idleTimeout` without a task, and the next task gets a new one', async () => {
    const background = withProcesses(1, { processes: { idleTimeout: 20 } });
    const before = await pidOf(background);
    await untilProcesses(background, 0);
    expect(await pidOf(background)).not.toBe(before);
    await untilGone(before, 5_000);
  });

  it('are given the environment, the arguments and the options of `processes`', async () => {
    const background = withProcesses(1, {
      processes: { env: { GREETING: 'hello' }, argv: ['--verbose'], execArgv: ['--expose-gc'], niceIncrement: 7 },
    });
    const { value } = await background.add(tasks.surroundings).settled;
    expect(value).toMatchObject({ greeting: 'hello', argv: ['--verbose'], hasGc: true });
    expect(value?.home).toBeUndefined();
  });

  it('have the environment of the server where `processes` says nothing', async () => {
    const { value } = await withProcesses(1).add(tasks.surroundings).settled;
    expect(value).toMatchObject({ home: process.env['HOME'], argv: [], hasGc: false });
  });
});

describe('task modules in TypeScript', () => {
  it('run in processes that are given --import tsx, on every version of Node', async () => {
    const { width } = blocking<{ width(size: string): number }>(fixture('thread-enums.ts'), { executor: 'process' });
    const background = withProcesses(1, { processes: { execArgv: ['--import', 'tsx'] } });
    expect(await background.add(width, 'Large').settled).toMatchObject({ state: 'completed', value: 1_000 });
  });
});

describe('a timeout', () => {
  it('ends an endless loop, harms no task in the other process, and the pool goes on', async () => {
    const background = withProcesses(2);
    const [besideGate, gate] = [await makeProcessGate(), await makeProcessGate()];
    const beside = background.add(tasks.hold, besideGate.port);
    const besidePid = await besideGate.entered();
    const looping = background.with({ timeout: 500 }).add(tasks.loopForEver, gate.port);
    const pid = await gate.entered();

    const outcome = await looping.settled;
    expect(outcome).toMatchObject({ state: 'timed-out', attempts: 1, name: 'loopForEver' });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
    expect(isAlive(pid)).toBe(false);
    expect(beside.state).toBe('running');
    expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
    besideGate.open();
    expect(await beside.settled).toMatchObject({ state: 'completed', value: besidePid });
  });

  it('ends a process that pays no heed to SIGTERM', async () => {
    const gate = await makeProcessGate();
    const handle = shared().with({ timeout: 300 }).add(tasks.ignoreEverything, gate.port);
    const pid = await gate.entered();
    gate.open();
    expect((await handle.settled).state).toBe('timed-out');
    expect(isAlive(pid)).toBe(false);
  });

  it('aborts the signal first: a task that heeds it keeps its process', async () => {
    const background = shared();
    const before = await pidOf(background);
    const gate = await makeProcessGate();
    const handle = background.with({ timeout: 300 }).add(tasks.waitForSignal, gate.port);
    const outcome = await handle.settled;
    expect(outcome.state).toBe('timed-out');
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
    expect(await gate.left()).toBe('heard ERR_BACKGROUND_TIMEOUT\n');
    expect(await pidOf(background)).toBe(before);
  });

  it('ends a module that never finishes loading', async () => {
    const hanging = blocking<{ work(): void }>(fixture('thread-hangs.mjs'), { executor: 'process' });
    const background = shared();
    expect((await background.with({ timeout: 100 }).add(hanging.work).settled).state).toBe('timed-out');
    expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
  });
});

describe('a cancel', () => {
  it('is heard by the signal, with its reason, and the process lives on', async () => {
    const background = shared();
    const before = await pidOf(background);
    const gate = await makeProcessGate();
    const handle = background.add(tasks.waitForSignal, gate.port);
    await gate.entered();
    const reason = new Error('the user left');
    expect(handle.cancel(reason)).toBe(true);
    const outcome = await handle.settled;
    expect(outcome).toMatchObject({ state: 'cancelled', attempts: 1 });
    expect(outcome.error?.cause).toBe(reason);
    expect(await gate.left()).toBe('heard ERR_BACKGROUND_CANCELLED\n');
    expect(await pidOf(background)).toBe(before);
  });

  it('ends the process of a task that does not heed it', async () => {
    const background = shared();
    const gate = await makeProcessGate();
    const handle = background.add(tasks.loopForEver, gate.port);
    const pid = await gate.entered();
    handle.cancel();
    expect((await handle.settled).state).toBe('cancelled');
    expect(isAlive(pid)).toBe(false);
  });

  it('takes a waiting task out of the queue without touching the process', async () => {
    const background = shared();
    const gate = await makeProcessGate();
    const running = background.add(tasks.hold, gate.port);
    await gate.entered();
    const waiting = background.add(tasks.add, 1, 1);
    waiting.cancel('not needed');
    expect(await waiting.settled).toMatchObject({ state: 'cancelled', attempts: 0 });
    expect(running.state).toBe('running');
    gate.open();
    expect((await running.settled).state).toBe('completed');
  });
});

describe('a retry', () => {
  const retry = { attempts: 3, delay: 0 };

  it('follows an error, in the same process', async () => {
    const background = shared();
    const before = await pidOf(background);
    const outcome = await background.with({ retry }).add(tasks.failUntil, 3, 'throw').settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 3, value: 3 });
    expect(await pidOf(background)).toBe(before);
  });

  it('follows the end of the process, in another', async () => {
    const outcome = await shared().with({ retry }).add(tasks.failUntil, 2, 'exit').settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 2, value: 2 });
  });
});

describe('a process that dies', () => {
  const two = shareThread({ processes: { maxProcesses: 2, resourceLimits: { maxOldGenerationSizeMb: 24 } } });

  type Death = readonly [
    what: string,
    die: (background: BackgroundTasks) => Promise<Outcome>,
    left: { readonly exitCode: number | null; readonly signal: NodeJS.Signals | null },
  ];
  const deaths: readonly Death[] = [
    ['process.exit(3)', (background) => background.add(tasks.exitWith, 3).settled, { exitCode: 3, signal: null }],
    ['process.exit(0)', (background) => background.add(tasks.exitWith, 0).settled, { exitCode: 0, signal: null }],
    ['process.abort()', (background) => background.add(tasks.abort).settled, { exitCode: null, signal: 'SIGABRT' }],
    ['SIGSEGV', (background) => background.add(tasks.kill, 'SIGSEGV').settled, { exitCode: null, signal: 'SIGSEGV' }],
    ['SIGKILL from outside', dieFromOutside, { exitCode: null, signal: 'SIGKILL' }],
    ['out of memory', (background) => background.add(tasks.fillHeap).settled, { exitCode: null, signal: 'SIGABRT' }],
  ];

  async function dieFromOutside(background: BackgroundTasks): Promise<Outcome> {
    const gate = await makeProcessGate();
    const handle = background.add(tasks.loopForEver, gate.port);
    process.kill(await gate.entered(), 'SIGKILL');
    return handle.settled;
  }

  it.each(deaths)('fails only the task that it ran, says how, and is replaced: %s', async (_what, die, left) => {
    const background = two();
    const gate = await makeProcessGate();
    const beside = background.add(tasks.hold, gate.port);
    await gate.entered();
    const dying = die(background);
    const behind = background.add(tasks.add, 1, 1);

    const outcome = await dying;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 1, executor: 'process' });
    expect(outcome.error).toMatchObject({ code: 'ERR_BACKGROUND_PROCESS_EXITED', ...left });
    expect(outcome.error?.message).toContain(String(left.signal ?? left.exitCode));
    // The other process is held: what waited can only run in one that took the dead one's place.
    expect(await behind.settled).toMatchObject({ state: 'completed', value: 2 });
    expect(processesOf(background)).toBe(2);
    gate.open();
    expect(await beside.settled).toMatchObject({ state: 'completed' });
    expect(background.stats()).toMatchObject({ running: 0, waiting: 0, retrying: 0 });
  });

  it('while it is idle fails no task, and is replaced', async () => {
    const background = shared();
    const before = await pidOf(background);
    const { failed } = background.stats().outcomes;
    process.kill(before, 'SIGKILL');
    const [line] = await log.until('ERR_BACKGROUND_STRAY');
    expect(line?.message).toContain('SIGKILL');
    expect(await pidOf(background)).not.toBe(before);
    expect(background.stats().outcomes.failed).toBe(failed);
  });

  it('right behind what its task returned takes nothing of it back', async () => {
    const background = withProcesses(1);
    const outcome = await background.add(tasks.returnAndExit, 9).settled;
    expect(outcome).toMatchObject({ state: 'completed', value: 'returned' });
    expect((await background.add(tasks.add, 1, 1).settled).state).toMatch(/completed|failed/);
    expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
  });

  it('over and over does not stop those that wait', async () => {
    const background = two();
    const dying = [1, 2, 3, 4, 5].map((code) => background.add(tasks.exitWith, code));
    const waiting = [1, 2, 3].map((number) => background.add(tasks.echo, number));
    for (const [index, { settled }] of dying.entries()) {
      expect((await settled).error).toMatchObject({ exitCode: index + 1 });
    }
    for (const [index, { settled }] of waiting.entries()) {
      expect(await settled).toMatchObject({ state: 'completed', value: index + 1 });
    }
  });
});

describe('what a task does to its process', () => {
  it('does not reach the server: process.chdir()', async () => {
    const before = process.cwd();
    expect(await shared().add(tasks.changeDirectory, tmpdir()).settled).toMatchObject({ state: 'completed' });
    expect(process.cwd()).toBe(before);
  });

  it('does no harm where it closes the standard output and error', async () => {
    const background = shared();
    const before = await pidOf(background);
    expect(await background.add(tasks.closeOutput).settled).toMatchObject({ state: 'completed', value: 'closed' });
    expect((await background.add(tasks.echo, 'still heard').settled).value).toBe('still heard');
    expect(await pidOf(background)).toBe(before);
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
  ])('does no harm where it uses process.send itself: %s', async (_what, message) => {
    const background = shared();
    const speaking = background.add(tasks.send, [message, message], 40);
    const behind = background.add(tasks.after, 10, 'of the one behind');
    expect(await speaking.settled).toMatchObject({ state: 'completed', value: 'of its own' });
    expect(await behind.settled).toMatchObject({ state: 'completed', value: 'of the one behind' });
  });

  it.each<['leaveThrowingTimer' | 'leaveRejection', string]>([
    ['leaveThrowingTimer', 'a late timer'],
    ['leaveRejection', 'a floating rejection'],
  ])('is logged under its name where it throws when the task is over: %s', async (name, message) => {
    const background = shared();
    const before = await pidOf(background);
    const guilty = background.with({ name: 'guilty' }).add(tasks[name], 30);
    const innocent = background.with({ name: 'innocent' }).add(tasks.after, 120, 'fine');
    expect(await guilty.settled).toMatchObject({ state: 'completed', value: 'done' });
    expect(await innocent.settled).toMatchObject({ state: 'completed', value: 'fine' });
    const [line] = await log.until('ERR_BACKGROUND_STRAY');
    expect(line).toMatchObject({ level: 'error', task: 'guilty', cause: message });
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(await pidOf(background)).toBe(before);
  });

  it('fails the task itself where it throws while the task still runs', async () => {
    const { state, error } = await shared().add(tasks.throwInOwnTimer).settled;
    expect(state).toBe('failed');
    expect(error).toBeInstanceOf(RangeError);
  });
});

describe('processes that cannot start', () => {
  const processes = { maxProcesses: 2, execArgv: ['--import', fixture('preload-exits.mjs').href] };

  it.each([0, 1])('fail the tasks that wait for them, and those that come later: minProcesses %d', async (min) => {
    const background = makeBackground({ processes: { ...processes, minProcesses: min } });
    const handles = [1, 2, 3].map((count) => background.add(tasks.add, count, count));
    for (const { settled } of handles) {
      const outcome = await settled;
      expect(outcome).toMatchObject({ state: 'failed', attempts: 0 });
      expect(outcome.error).toMatchObject({
        code: 'ERR_BACKGROUND_PROCESS_START',
        message: expect.stringContaining('`processes`'),
        cause: { exitCode: 7 },
      });
    }
    expect(codeOf(await background.add(tasks.add, 4, 4).settled)).toBe('ERR_BACKGROUND_PROCESS_START');
    expect(background.stats()).toMatchObject({ added: 4, settled: 4, waiting: 0, running: 0 });
    expect(await background.close()).toMatchObject({ abandoned: [] });
  });

  it('fail their tasks, or throw at backgroundTasks() for `minProcesses`, where the call itself is refused', async () => {
    const env = { BROKEN: 'a\0b' };
    const { error } = await withProcesses(1, { processes: { env } }).add(tasks.nothing).settled;
    expect(error).toMatchObject({ code: 'ERR_BACKGROUND_PROCESS_START', cause: { code: 'ERR_INVALID_ARG_VALUE' } });
    expect(thrownBy(() => makeBackground({ processes: { env, minProcesses: 1 } })).code).toBe(
      'ERR_BACKGROUND_PROCESS_START',
    );
  });

  it('do no harm to tasks in threads or on the event loop', async () => {
    const threads = blocking<{ add(a: number, b: number): number }>(fixture('thread-named.cjs'));
    const background = makeBackground({ processes, pool: { maxThreads: 1 } });
    const failing = background.add(tasks.nothing);
    expect((await background.add(threads.add, 1, 2).settled).value).toBe(3);
    expect((await background.add(() => 'here').settled).value).toBe('here');
    expect(codeOf(await failing.settled)).toBe('ERR_BACKGROUND_PROCESS_START');
  });
});

describe('close()', () => {
  it('waits for the tasks that run, and then ends every process', async () => {
    const background = withProcesses(2, { processes: { minProcesses: 1 } });
    const gate = await makeProcessGate();
    const running = background.add(tasks.hold, gate.port);
    const pids = [await gate.entered(), await pidOf(background)];
    expect(new Set(pids).size).toBe(2);
    const closing = background.close({ timeout: 10_000 });
    gate.open();
    expect(await closing).toEqual({ completed: 1, failed: 0, abandoned: [] });
    expect((await running.settled).state).toBe('completed');
    expect(pids.map(isAlive)).toEqual([false, false]);
    expect(processesOf(background)).toBe(0);
    expect(thrownBy(() => background.add(tasks.nothing)).code).toBe('ERR_BACKGROUND_CLOSED');
  });

  it.each(['loopForEver', 'ignoreEverything'] as const)(
    'ends a process that goes on when time is out, and names its task: %s',
    async (name) => {
      const background = withProcesses(1);
      const gate = await makeProcessGate();
      background.add(tasks[name], gate.port);
      const pid = await gate.entered();
      gate.open();
      const { abandoned } = await background.close({ timeout: 200 });
      expect(abandoned).toMatchObject([{ name, state: 'abandoned', executor: 'process' }]);
      expect(isAlive(pid)).toBe(false);
    },
  );

  it('ends a process that is only just starting', async () => {
    const background = withProcesses(2, { processes: { minProcesses: 2 } });
    expect(await background.close({ timeout: 200 })).toEqual({ completed: 0, failed: 0, abandoned: [] });
    expect(processesOf(background)).toBe(0);
  });
});

describe('a server process', () => {
  const LIMIT = 20_000;

  /** Rejects if the script fails, or has to be ended. */
  function runScript(name: string): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(process.execPath, [fileURLToPath(fixture(name))], { timeout: LIMIT }, (error, stdout) => {
        if (error) reject(error);
        else resolve(stdout);
      });
    });
  }

  it('is not kept alive by idle processes, and they end with it', async () => {
    const { pid, processes } = JSON.parse(await runScript('script-process-idle.mjs'));
    expect(processes).toBe(2);
    await untilGone(pid, 5_000);
  });

  it('that adds one task for a process and comes to its end runs it all the same', async () => {
    expect(await runScript('script-process-add-and-end.mjs')).toBe('end of script\nthe task ran\n');
  });

  it('that runs at a lower priority itself has processes below its own', async () => {
    const { server, process: below } = JSON.parse(await runScript('script-process-nice.mjs'));
    expect(below - server).toBe(5);
  });

  it('hears by each task that its processes cannot start, where Node refuses their options', async () => {
    const refused = { state: 'failed', attempts: 0, code: 'ERR_BACKGROUND_PROCESS_START' };
    const lines = (await runScript('script-process-bad-flag.mjs')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([0, 1].map(() => [refused, refused, refused, refused]));
  });

  it.each([
    ['idle', 'while the child is idle'],
    ['looping', 'while the child loops for ever'],
    ['killer', 'at the first thing that the child does before it loops for ever'],
  ])('that is killed is not outlived by its child: %s, %s', async (state) => {
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
