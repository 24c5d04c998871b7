/** Blocking tasks: worker threads, from the first to the last of them. */
import { execFile } from 'node:child_process';
import nodeModule, { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import { MessageChannel } from 'node:worker_threads';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  type BackgroundTaskError,
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  move,
  type Outcome,
  type PoolOptions,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { work } from './support/promises.ts';
import { shareThread } from './support/shared-thread.ts';
import { makeThreadGate } from './support/thread-gate.ts';

jest.setTimeout(30_000);
expectNoProcessFaults();

const fixture = (name: string): URL => new URL(`./fixtures/${name}`, import.meta.url);
const tasks = blocking<typeof import('./fixtures/thread-tasks.mjs')>(fixture('thread-tasks.mjs'));

interface Loads {
  readonly loads: number;
  readonly calls: number;
  readonly isMainThread: boolean;
  readonly threadId: number;
}

function withThreads(maxThreads: number, options: BackgroundTasksOptions = {}): BackgroundTasks {
  return makeBackground({ ...options, pool: { maxThreads, ...options.pool } });
}

const threadsOf = (background: BackgroundTasks): number => background.stats().executors.thread.threads;

/** Lets time pass by tasks that take some, until the pool has come to what the test waits for. */
async function untilThreads(background: BackgroundTasks, count: number): Promise<void> {
  while (threadsOf(background) !== count) await background.add(work, 5).settled;
}

async function threadIdOf(background: BackgroundTasks): Promise<number | undefined> {
  return (await background.add(tasks.whereAmI).settled).value?.threadId;
}

/** So that all that threads send in the meantime arrives at once. */
function blockEventLoop(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
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

describe('blocking tasks', () => {
  const shared = shareThread();

  it('run in a thread, and return their value', async () => {
    const background = shared();
    const sum = background.add(tasks.add, 20, 22);
    const place = background.add(tasks.whereAmI);

    expect(await sum.settled).toMatchObject({
      state: 'completed',
      executor: 'thread',
      name: 'add',
      attempts: 1,
      value: 42,
    });
    expect((await place.settled).value).toMatchObject({ isMainThread: false });
  });

  it('know their own id, name and attempt', async () => {
    const background = shared();
    const handle = background.with({ name: 'described' }).add(tasks.describeTask);
    const { value } = await handle.settled;
    expect(value).toEqual({ id: handle.id, name: 'described', attempt: 1, isAborted: false });
  });

  it('load their module once a thread, and never in the main thread', async () => {
    const loads = blocking<{ report(): Loads }>(fixture('thread-loads.mjs'));
    const background = shared();
    const reports = [];
    for (let count = 1; count <= 3; count += 1) reports.push((await background.add(loads.report).settled).value);

    expect(reports.map((report) => report?.loads)).toEqual([1, 1, 1]);
    expect(reports.map((report) => report?.calls)).toEqual([1, 2, 3]);
    expect(reports.every((report) => report?.isMainThread === false)).toBe(true);
    expect((globalThis as { loadsOfThisFile?: number }).loadsOfThisFile).toBeUndefined();
  });

  it('find what a CommonJS module exports by name', async () => {
    const named = blocking<{ add(a: number, b: number): number }>(fixture('thread-named.cjs'));
    const outcome = await shared().add(named.add, 1, 2).settled;
    expect(outcome).toMatchObject({ state: 'completed', value: 3 });
  });

  it('find what a CommonJS module exports by an object that is built as it runs', async () => {
    const dynamic = blocking<{ multiply(a: number, b: number): number }>(fixture('thread-dynamic.cjs'));
    const outcome = await shared().add(dynamic.multiply, 6, 7).settled;
    expect(outcome).toMatchObject({ state: 'completed', value: 42 });
  });

  it('find the default export of a compiled CommonJS module', async () => {
    const compiled = blocking<{ default(text: string): string; named(text: string): string }>(
      fixture('thread-compiled.cjs'),
    );
    const background = shared();
    expect(await background.add(compiled.named, 'x').settled).toMatchObject({ value: 'named of x' });
    expect(await background.add(compiled.default, 'x').settled).toMatchObject({ value: 'default of x' });
  });

  it('take a path and a file: string as well as a URL', async () => {
    const background = shared();
    const url = fixture('thread-named.cjs');
    const require = createRequire(import.meta.url);
    for (const named of [url.href, fileURLToPath(url), require.resolve('./fixtures/thread-named.cjs')]) {
      const { add } = blocking<{ add(a: number, b: number): number }>(named);
      expect(await background.add(add, 1, 1).settled).toMatchObject({ value: 2 });
    }
  });

  it('are given the environment and the arguments of `pool`', async () => {
    const background = makeBackground({ pool: { maxThreads: 1, env: { GREETING: 'hello' }, argv: ['--verbose'] } });
    const { value } = await background.add(tasks.environment).settled;
    expect(value).toEqual({ greeting: 'hello', argv: ['--verbose'] });
  });
});

describe('task modules in TypeScript', () => {
  const typed = blocking<{ greet(name: string): { text: string } }>(fixture('thread-typed.ts'));
  const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript);
  // Without it, `--import tsx` reaches only the main thread, whatever the threads are given.
  const hasHooksInThreads = typeof (nodeModule as { registerHooks?: unknown }).registerHooks === 'function';

  it('run where the threads are given a loader, more than types included', async () => {
    const { width } = blocking<{ width(size: string): number }>(fixture('thread-enums.ts'));
    const background = withThreads(1, { pool: { execArgv: ['--import', fixture('preload-tsx.mjs').href] } });
    expect(await background.add(width, 'Large').settled).toMatchObject({ state: 'completed', value: 1_000 });
  });

  it('run with --import tsx where that reaches threads, and say so where it does not', async () => {
    const { width } = blocking<{ width(size: string): number }>(fixture('thread-enums.ts'));
    const background = withThreads(1, { pool: { execArgv: ['--import', 'tsx'] } });
    const outcome = await background.add(width, 'Small').settled;
    if (hasHooksInThreads) expect(outcome).toMatchObject({ state: 'completed', value: 100 });
    else expect(codeOf(outcome)).toBe('ERR_BACKGROUND_MODULE');
  });

  it('are meant by a .js URL where only the .ts file is there', async () => {
    const { greet } = blocking<{ greet(name: string): { text: string } }>(fixture('thread-typed.js'));
    const background = withThreads(1, { pool: { execArgv: ['--import', fixture('preload-tsx.mjs').href] } });
    expect(await background.add(greet, 'Ada').settled).toMatchObject({ value: { text: 'hello Ada' } });
  });

  it('run without a loader where Node can, and say what is missing where it cannot', async () => {
    const outcome = await withThreads(1).add(typed.greet, 'Ada').settled;
    if (runsTypeScript) {
      expect(outcome).toMatchObject({ state: 'completed', value: { text: 'hello Ada' } });
    } else {
      expect(outcome.state).toBe('failed');
      expect(codeOf(outcome)).toBe('ERR_BACKGROUND_MODULE');
      expect(outcome.error?.message).toMatch(/TypeScript.*loader/);
      expect(outcome.error?.cause).toMatchObject({ code: 'ERR_UNKNOWN_FILE_EXTENSION' });
    }
  });
});

describe('arguments', () => {
  const shared = shareThread();

  class Account {
    readonly id = 7;
    #secret = 'kept';
    reveal(): string {
      return this.#secret;
    }
  }

  it.each<[string, unknown]>([
    ['a function', () => {}],
    ['a function inside an object', { on: { done: () => {} } }],
    ['a function inside an array', [1, [() => {}]]],
    ['a function that an array carries as a property', Object.assign([1], { sum: () => 1 })],
    ['a symbol', Symbol('s')],
    ['a Proxy', new Proxy({}, {})],
    ['a promise', Promise.resolve(1)],
    ['a WeakMap', new WeakMap()],
  ])('that cannot be cloned are refused in add: %s', (_what, argument) => {
    const background = withThreads(1);
    const error = thrownBy(() => background.add(tasks.add as never, 1 as never, argument as never));
    expect(error.code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(error.message).toContain('argument 1 of task add');
    expect(background.stats().added).toBe(0);
  });

  it('that cannot be cloned are named by the task name that `with` gives', () => {
    const background = withThreads(1);
    const error = thrownBy(() => background.with({ name: 'resize' }).add(tasks.echo, () => {}));
    expect(error.message).toContain('argument 0 of task resize');
  });

  it('that are refused leave the task before and the task after untouched', async () => {
    const background = withThreads(1);
    const before = background.add(tasks.add, 1, 1);
    expect(() => background.add(tasks.echo, () => {})).toThrow();
    const after = background.add(tasks.add, 2, 2);
    expect((await before.settled).value).toBe(2);
    expect((await after.settled).value).toBe(4);
    expect(background.stats()).toMatchObject({ added: 2, settled: 2 });
  });

  it('that are class instances cross as plain objects', async () => {
    const { value } = await shared().add(tasks.echo, new Account()).settled;
    expect(value).toEqual({ id: 7 });
  });

  it('are taken as they are at add: what is changed later does not reach the task', async () => {
    const background = shared();
    const order = { items: ['a'], at: new Date(0) };
    const list = [1];
    const gate = makeThreadGate();
    background.add(tasks.hold, gate.shared);
    const echoed = background.add(tasks.echo, order);
    const counted = background.add(tasks.echo, list);
    order.items.push('b');
    order.at.setFullYear(2000);
    list.push(2);
    gate.open();

    expect((await echoed.settled).value).toEqual({ items: ['a'], at: new Date(0) });
    expect((await counted.settled).value).toEqual([1]);
  });

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
    ['a Float64Array', new Float64Array([0.5, -0])],
    ['an ArrayBuffer', new Uint8Array([9, 8]).buffer],
    ['a sparse array', Object.assign(new Array(3), { 0: 'first', 2: 'third' })],
  ])('and results cross both ways: %s', async (_what, given) => {
    const { state, value } = await shared().add(tasks.echo, given).settled;
    expect(state).toBe('completed');
    expect(value).toEqual(given);
  });

  it('that are Buffers arrive as bytes', async () => {
    const { value } = await shared().add(tasks.echo, Buffer.from('bytes')).settled;
    expect(types.isUint8Array(value)).toBe(true);
    expect(Buffer.from(value as Uint8Array).toString()).toBe('bytes');
  });

  it('that refer to themselves arrive as they are', async () => {
    const circular: { name: string; self?: unknown } = { name: 'ring' };
    circular.self = circular;
    const { value } = await shared().add(tasks.echo, circular).settled;
    expect((value as typeof circular).self).toBe(value);
  });
});

describe('move()', () => {
  const shared = shareThread();

  const bytesOf = (length: number): Uint8Array => new Uint8Array(length).map((_, index) => index % 100);

  it('gives the buffer away at add, and the task may give one back', async () => {
    const background = shared();
    const bytes = bytesOf(10_000);
    const handle = background.add(tasks.doubled, move(bytes));
    expect(bytes.byteLength).toBe(0);

    const { state, value } = await handle.settled;
    expect(state).toBe('completed');
    expect(value).toHaveLength(10_000);
    expect([...(value as Uint8Array).subarray(0, 4)]).toEqual([0, 2, 4, 6]);
  });

  it('works for an ArrayBuffer', async () => {
    const { buffer } = bytesOf(64);
    const handle = shared().add(tasks.lengthOf, move(buffer as ArrayBuffer));
    expect(buffer.byteLength).toBe(0);
    expect((await handle.settled).value).toBe(64);
  });

  it('works for a MessagePort', async () => {
    const { port1, port2 } = new MessageChannel();
    const answered = new Promise((resolve) => port1.once('message', resolve));
    const handle = shared().add(tasks.answerOn, move(port2), 'over the port');
    expect((await handle.settled).state).toBe('completed');
    expect(await answered).toBe('over the port');
    port1.close();
  });

  it('leaves a copy for the next attempt', async () => {
    const background = shared();
    const bytes = bytesOf(5_000);
    const handle = background.with({ retry: { attempts: 3, delay: 0 } }).add(tasks.failUntil, 3, move(bytes));
    expect(bytes.byteLength).toBe(0);
    const errors: string[] = [];
    background.on('retrying', ({ error }) => errors.push(error.message));

    const { state, value, attempts } = await handle.settled;
    expect({ state, attempts }).toEqual({ state: 'completed', attempts: 3 });
    expect(value).toHaveLength(5_000);
    expect(errors).toEqual(['attempt 1 of 5000 bytes', 'attempt 2 of 5000 bytes']);
  });

  it('copies a Buffer that Node cut from its shared pool', async () => {
    const neighbour = Buffer.from('neighbour');
    const pooled = Buffer.from('pooled');
    expect(pooled.buffer.byteLength).toBeGreaterThan(pooled.byteLength);
    const handle = shared().add(tasks.lengthOf, move(pooled));

    expect(pooled.toString()).toBe('pooled');
    expect(neighbour.toString()).toBe('neighbour');
    expect((await handle.settled).value).toBe(6);
  });

  it('serves two arguments that look at the same memory', async () => {
    const { buffer } = bytesOf(32);
    const background = shared();
    const handle = background.add(
      tasks.failUntil as never,
      1 as never,
      move(new Uint8Array(buffer, 0, 4)) as never,
      move(new Uint8Array(buffer, 4, 4)) as never,
    );
    expect(await handle.settled).toMatchObject({ state: 'completed', value: [0, 1, 2, 3] });
  });

  it('refuses what cannot be moved', () => {
    expect(thrownBy(() => move('text' as never)).code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(thrownBy(() => move({} as never)).code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(thrownBy(() => move(undefined as never)).code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
  });

  it('tells which task cannot take what was moved away before', () => {
    const background = shared();
    const bytes = move(bytesOf(16));
    background.add(tasks.lengthOf, bytes);
    const error = thrownBy(() => background.add(tasks.lengthOf, bytes));
    expect(error.code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(error.message).toContain('lengthOf');
  });
});

describe('order and priority', () => {
  async function orderOf(added: readonly { readonly name: string; readonly priority?: number }[]): Promise<string[]> {
    const background = withThreads(1);
    const started: string[] = [];
    const gate = makeThreadGate();
    background.with({ name: 'first' }).add(tasks.hold, gate.shared);
    await gate.entered();
    background.on('started', ({ name }) => started.push(name));
    for (const { name, priority } of added) background.with({ name, priority }).add(tasks.nothing);
    gate.open();
    await background.idle();
    return started;
  }

  it('are those of adding, within a priority', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `task ${index}`);
    expect(await orderOf(names.map((name) => ({ name })))).toEqual(names);
  });

  it('prefer the higher number, whenever it was added', async () => {
    const order = await orderOf([
      { name: 'low 1', priority: -5 },
      { name: 'normal 1' },
      { name: 'high 1', priority: 10 },
      { name: 'low 2', priority: -5 },
      { name: 'high 2', priority: 10 },
      { name: 'highest', priority: 100 },
      { name: 'normal 2', priority: 0 },
      { name: 'lowest', priority: -100 },
    ]);
    expect(order).toEqual(['highest', 'high 1', 'high 2', 'normal 1', 'normal 2', 'low 1', 'low 2', 'lowest']);
  });
});

describe('threads', () => {
  it('are not started before the first blocking task', async () => {
    const background = withThreads(2);
    await background.add(() => 'on the event loop').settled;
    expect(threadsOf(background)).toBe(0);
    await background.add(tasks.nothing).settled;
    expect(threadsOf(background)).toBe(1);
  });

  it('are started at once where `minThreads` asks for them', async () => {
    const background = withThreads(3, { pool: { minThreads: 2 } });
    expect(threadsOf(background)).toBe(2);
    await background.add(tasks.nothing).settled;
    expect(threadsOf(background)).toBe(2);
  });

  it('are never more than `maxThreads`', async () => {
    const background = withThreads(2);
    const handles = Array.from({ length: 10 }, () => background.add(tasks.whereAmI));
    expect(threadsOf(background)).toBe(2);
    const ids = new Set();
    for (const { settled } of handles) ids.add((await settled).value?.threadId);
    expect(ids.size).toBeLessThanOrEqual(2);
    expect(threadsOf(background)).toBe(2);
  });

  it('run as many tasks at a time as there are threads', async () => {
    const background = withThreads(2);
    const gates = [makeThreadGate(), makeThreadGate()];
    for (const { shared } of gates) background.add(tasks.hold, shared);
    background.add(tasks.nothing);
    for (const gate of gates) await gate.entered();
    expect(background.stats().executors.thread).toMatchObject({ running: 2, waiting: 1, threads: 2, idleThreads: 0 });
    for (const gate of gates) gate.open();
    await background.idle();
    expect(background.stats().executors.thread).toMatchObject({ running: 0, waiting: 0, threads: 2, idleThreads: 2 });
  });

  it('end after `idleTimeout` without a task, and the next task gets a new one', async () => {
    const background = withThreads(2, { pool: { idleTimeout: 20 } });
    await Promise.all([background.add(tasks.nothing).settled, background.add(tasks.nothing).settled]);
    await untilThreads(background, 0);
    expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
  });

  it('are kept down to `minThreads`, however long they are idle', async () => {
    const background = withThreads(2, { pool: { minThreads: 1, idleTimeout: 20 } });
    const gates = [makeThreadGate(), makeThreadGate()];
    for (const { shared } of gates) background.add(tasks.hold, shared);
    for (const gate of gates) await gate.entered();
    expect(threadsOf(background)).toBe(2);
    for (const gate of gates) gate.open();
    await background.idle();
    await untilThreads(background, 1);
    await background.add(work, 100).settled;
    expect(threadsOf(background)).toBe(1);
  });

  it('can be given no time to be idle at all', async () => {
    const background = withThreads(1, { pool: { idleTimeout: 0 } });
    for (let count = 0; count < 3; count += 1) {
      expect((await background.add(tasks.add, count, 1).settled).value).toBe(count + 1);
    }
    await untilThreads(background, 0);
  });
});

describe('a timeout', () => {
  const shared = shareThread();

  it('ends an endless loop, harms no task in the other thread, and the pool goes on', async () => {
    const background = withThreads(2);
    const gate = makeThreadGate();
    const beside = background.add(tasks.hold, gate.shared);
    await gate.entered();
    const looping = background.with({ timeout: 100 }).add(tasks.loopForEver);

    const outcome = await looping.settled;
    expect(outcome).toMatchObject({ state: 'timed-out', attempts: 1, name: 'loopForEver' });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
    expect(beside.state).toBe('running');
    // The other thread is held: only a new one can do this.
    expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
    gate.open();
    expect(await beside.settled).toMatchObject({ state: 'completed' });
  });

  it('does not count the time that a task waits', async () => {
    const background = shared();
    const gate = makeThreadGate();
    background.add(tasks.hold, gate.shared);
    const patient = background.with({ timeout: 50 }).add(tasks.add, 1, 1);
    await gate.entered();
    await background.add(work, 100).settled;
    expect(patient.state).toBe('waiting');
    gate.open();
    expect(await patient.settled).toMatchObject({ state: 'completed', value: 2 });
  });

  it('ends a module that never finishes loading', async () => {
    const hanging = blocking<{ work(): void }>(fixture('thread-hangs.mjs'));
    const background = shared();
    const outcome = await background.with({ timeout: 100 }).add(hanging.work).settled;
    expect(outcome.state).toBe('timed-out');
    expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
  });

  it('leaves a warm thread behind in place of the one that it ended', async () => {
    const background = shared();
    await background.with({ timeout: 50 }).add(tasks.loopForEver).settled;
    await untilThreads(background, 1);
  });

  it('lets the next attempt start in a new thread', async () => {
    const background = shared();
    const retried: unknown[] = [];
    background.on('retrying', ({ error }) => retried.push((error as BackgroundTaskError).code));
    const outcome = await background.with({ timeout: 50, retry: { attempts: 2, delay: 0 } }).add(tasks.loopForEver)
      .settled;
    expect(outcome).toMatchObject({ state: 'timed-out', attempts: 2 });
    expect(retried).toEqual(['ERR_BACKGROUND_TIMEOUT']);
  });
});

describe('a soft cancel', () => {
  const shared = shareThread();

  it('aborts the signal first: a task that heeds its time limit keeps its thread', async () => {
    const background = shared();
    const before = await threadIdOf(background);
    const heard = new Int32Array(new SharedArrayBuffer(8));
    const outcome = await background.with({ timeout: 60 }).add(tasks.waitForSignal, heard).settled;

    expect(outcome.state).toBe('timed-out');
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
    expect(heard[1]).toBe(1);
    expect(await threadIdOf(background)).toBe(before);
  });

  it('says by the reason of the signal that the task was cancelled, and why', async () => {
    const background = shared();
    const before = await threadIdOf(background);
    const handle = background.add(tasks.throwAtSignal);
    await background.add(work, 20).settled;
    const reason = new Error('the user left');
    expect(handle.cancel(reason)).toBe(true);

    const outcome = await handle.settled;
    expect(outcome).toMatchObject({ state: 'cancelled', attempts: 1 });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_CANCELLED');
    expect(outcome.error?.cause).toBe(reason);
    expect(handle.cancel()).toBe(false);
    expect(await threadIdOf(background)).toBe(before);
  });

  it('is heard when it comes right after the start', async () => {
    const background = shared();
    const before = await threadIdOf(background);
    background.on('started', ({ id, name }) => {
      if (name === 'cancelled at its start') (background.find(id) as typeof handle).cancel();
    });
    const handle = background.with({ name: 'cancelled at its start' }).add(tasks.waitForSignal);
    expect((await handle.settled).state).toBe('cancelled');
    expect(await threadIdOf(background)).toBe(before);
  });

  it('ends the thread of a task that does not heed it', async () => {
    const background = shared();
    const before = await threadIdOf(background);
    const gate = makeThreadGate();
    const handle = background.add(tasks.loopForEver, gate.shared);
    await gate.entered();
    handle.cancel();
    expect((await handle.settled).state).toBe('cancelled');
    expect(await threadIdOf(background)).not.toBe(before);
  });

  it('takes a waiting task out of the queue without touching the thread', async () => {
    const background = shared();
    const gate = makeThreadGate();
    const running = background.add(tasks.hold, gate.shared);
    await gate.entered();
    const waiting = background.add(tasks.add, 1, 1);
    const last = background.add(tasks.add, 2, 2);
    waiting.cancel('not needed');

    const outcome = await waiting.settled;
    expect(outcome).toMatchObject({ state: 'cancelled', attempts: 0, ranMs: 0 });
    expect(outcome.error?.message).toContain('not needed');
    expect(running.state).toBe('running');
    gate.open();
    expect((await last.settled).value).toBe(4);
    expect((await running.settled).state).toBe('completed');
  });

  it('works on a task whose thread is only just starting', async () => {
    const background = withThreads(1);
    const handle = background.add(tasks.add, 1, 1);
    handle.cancel();
    expect(await handle.settled).toMatchObject({ state: 'cancelled', attempts: 0 });
    expect((await background.add(tasks.add, 2, 2).settled).value).toBe(4);
  });

  it('of one attempt is not heard by the next, even where the task was deaf while it ran', async () => {
    const background = shared();
    await background.add(tasks.nothing).settled;
    const outcome = await background
      .with({ timeout: 60, retry: { attempts: 2, delay: 100, jitter: 0 } })
      .add(tasks.busyAtFirst, 160).settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 2, value: { attempt: 2, isAborted: false } });
  });
});

describe('a task that ends its thread', () => {
  it('by process.exit() fails with the exit code, and harms no other', async () => {
    const background = withThreads(2);
    const gate = makeThreadGate();
    const beside = background.add(tasks.hold, gate.shared);
    await gate.entered();
    const exiting = background.add(tasks.exitWith, 3);
    const behind = background.add(tasks.add, 1, 1);

    const outcome = await exiting.settled;
    expect(outcome.state).toBe('failed');
    expect(outcome.error).toMatchObject({ code: 'ERR_BACKGROUND_THREAD_EXITED', exitCode: 3 });
    expect((await behind.settled).value).toBe(2);
    gate.open();
    expect((await beside.settled).state).toBe('completed');
  });

  it('by process.exit(0) fails as well', async () => {
    const outcome = await withThreads(1).add(tasks.exitWith, 0).settled;
    expect(outcome.state).toBe('failed');
    expect(outcome.error).toMatchObject({ code: 'ERR_BACKGROUND_THREAD_EXITED', exitCode: 0 });
  });

  it('by running out of heap fails with a code of its own, and the pool goes on', async () => {
    const background = withThreads(1, { pool: { resourceLimits: { maxOldGenerationSizeMb: 24 } } });
    const outcome = await background.add(tasks.fillHeap).settled;
    expect(outcome.state).toBe('failed');
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_OUT_OF_MEMORY');
    expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
  });

  it('may be tried again in another thread', async () => {
    const background = withThreads(1, { retry: { attempts: 2, delay: 0 } });
    const outcome = await background.add(tasks.exitWith, 1).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 2 });
  });
});

describe('what a finished task leaves behind in its thread', () => {
  const log = openLogBook();
  const shared = shareThread({ logger: log.logger });
  beforeEach(() => log.clear());

  it.each<['leaveThrowingTimer' | 'leaveRejection' | 'leaveLateRejection', string]>([
    ['leaveThrowingTimer', 'a late timer'],
    ['leaveRejection', 'a floating rejection'],
    ['leaveLateRejection', 'a late rejection'],
  ])('is logged under its own name, and the task that runs by then completes: %s', async (name, message) => {
    const background = shared();
    const guilty = background.with({ name: 'guilty' }).add(tasks[name], 30);
    const innocent = background.with({ name: 'innocent' }).add(tasks.returnMapAfter, 120, 'fine');

    expect(await guilty.settled).toMatchObject({ state: 'completed', value: 'done' });
    expect(await innocent.settled).toMatchObject({ state: 'completed', value: new Map([['value', 'fine']]) });
    const [line] = await log.until('ERR_BACKGROUND_STRAY');
    expect(line).toMatchObject({ level: 'error', task: 'guilty', cause: message });
    expect(log.withCode('ERR_BACKGROUND_STRAY')).toHaveLength(1);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
  });

  it('is logged when no task runs either', async () => {
    const background = shared();
    const before = await threadIdOf(background);
    await background.add(tasks.leaveThrowingTimer, 20).settled;
    const [line] = await log.until('ERR_BACKGROUND_STRAY');
    expect(line).toMatchObject({ task: 'leaveThrowingTimer', cause: 'a late timer' });
    expect(await threadIdOf(background)).toBe(before);
  });

  it('fails the task itself while it still runs', async () => {
    const background = shared();
    const before = await threadIdOf(background);
    const outcome = await background.add(tasks.throwInOwnTimer).settled;
    expect(outcome.state).toBe('failed');
    expect(outcome.error).toBeInstanceOf(RangeError);
    expect(outcome.error?.message).toBe('thrown by a timer of its own');
    expect(log.withCode('ERR_BACKGROUND_STRAY')).toHaveLength(0);
    expect(await threadIdOf(background)).toBe(before);
  });

  it('never becomes the value of another task', async () => {
    const background = shared();
    const failed = await background.add(tasks.failThenReturn, 'of the task that failed').settled;
    expect(failed).toMatchObject({ state: 'failed', error: { message: 'failed before it returned' } });
    // By now the failed task has returned all the same.
    await background.add(work, 120).settled;
    const next = background.add(tasks.returnMapAfter, 0, 'of the next task');
    blockEventLoop(150);
    expect((await next.settled).value?.get('value')).toBe('of the next task');
    const afterNext = await background.add(tasks.returnMapAfter, 0, 'of the one after').settled;
    expect(afterNext.value?.get('value')).toBe('of the one after');
  });
});

describe('a result that cannot be cloned', () => {
  const log = openLogBook();
  const shared = shareThread({ logger: log.logger, timeout: 2_000 });
  beforeEach(() => log.clear());

  it.each<
    | 'returnFunction'
    | 'returnNestedFunction'
    | 'returnSymbol'
    | 'returnProxy'
    | 'returnThrowingGetter'
    | 'returnArrayWithMethod'
    | 'returnArrayWithThrowingElement'
  >([
    'returnFunction',
    'returnNestedFunction',
    'returnSymbol',
    'returnProxy',
    'returnThrowingGetter',
    'returnArrayWithMethod',
    'returnArrayWithThrowingElement',
  ])('leaves the task completed without a value, warns once, and the thread lives: %s', async (name) => {
    const background = shared();
    const before = await threadIdOf(background);
    const outcome = await background.add(tasks[name]).settled;

    expect(outcome).toMatchObject({ state: 'completed', value: undefined });
    const warnings = log.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toMatchObject([{ task: name, code: 'ERR_BACKGROUND_RESULT_NOT_CLONEABLE' }]);
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
    expect(await threadIdOf(background)).toBe(before);
  });
});

describe('a result with references back', () => {
  const shared = shareThread({ timeout: 3_000 });

  it('crosses in no more time than it takes to copy it', async () => {
    const background = shared();
    const outcome = await background.add(tasks.returnTree, 500).settled;
    expect(outcome.state).toBe('completed');
    expect(outcome.value?.children).toHaveLength(500);
    expect(outcome.value?.children[499]?.parent === outcome.value).toBe(true);
  });

  it('is not looked through once for each way that leads to a part of it', async () => {
    const background = shared();
    const outcome = await background.add(tasks.returnShared, 60, 7).settled;
    expect(outcome.state).toBe('completed');
    expect(outcome.value).toHaveLength(60);
  });
});

describe('a module', () => {
  const shared = shareThread({ retry: { attempts: 3, delay: 60_000 } });

  const refused: [string, unknown][] = [
    ['that is not there', fixture('there-is-no-such-module.mjs')],
    ['that is a directory', new URL('./fixtures/', import.meta.url)],
    ['on the web', new URL('http://localhost/tasks.mjs')],
    ['named by an http string', 'https://localhost/tasks.mjs'],
    ['named by a relative path', './fixtures/thread-tasks.mjs'],
    ['named by a bare name', 'lodash'],
    ['named by a broken file URL', 'file://'],
    ['on another host', 'file://host.invalid/tasks.mjs'],
    ['in a data URL', 'data:text/javascript,export const work = 1'],
    ['named by nothing', undefined],
    ['named by null', null],
    ['named by the empty string', ''],
    ['named by a number', 7],
    ['named by an object', {}],
  ];

  it.each(refused)('is refused by blocking() where it is made: %s', (_what, url) => {
    const error = thrownBy(() => blocking(url as URL));
    expect(error.code).toBe('ERR_BACKGROUND_MODULE');
  });

  it.each([
    ['thread-throws.mjs', 'no configuration', { name: 'TypeError', code: 'E_NO_CONFIGURATION' }],
    ['thread-throws.cjs', 'no configuration here', { name: 'Error' }],
    ['thread-missing-import.mjs', 'there-is-no-such-file.mjs', { code: 'ERR_MODULE_NOT_FOUND' }],
  ])('that fails at import fails its tasks, with the cause: %s', async (file, message, cause) => {
    const broken = blocking<{ work(): string }>(fixture(file));
    const background = shared();
    const outcome = await background.add(broken.work).settled;

    expect(outcome).toMatchObject({ state: 'failed', attempts: 1 });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_MODULE');
    expect(outcome.error?.message).toContain(message);
    expect(outcome.error?.cause).toMatchObject(cause);
    // The same thread, the broken module again, a sound one in between.
    expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
    expect(codeOf(await background.add(broken.work).settled)).toBe('ERR_BACKGROUND_MODULE');
    expect((await background.add(tasks.add, 3, 4).settled).value).toBe(7);
  });

  it.each([
    ['thread-tasks.mjs', /whereAmI.*hold|hold.*whereAmI/],
    ['thread-named.cjs', /\badd\b/],
    ['thread-dynamic.cjs', /multiply.*divide/],
  ])('without the export that is asked for fails the task, and names those it has: %s', async (file, names) => {
    const module = blocking<{ missing(): void }>(fixture(file));
    const background = shared();
    const outcome = await background.add(module.missing).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 1 });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
    expect(outcome.error?.message).toContain('missing');
    expect(outcome.error?.message).toMatch(names);
    expect((await background.add(tasks.add, 1, 1).settled).value).toBe(2);
  });

  it('whose export is no function fails the task with the same code', async () => {
    const module = blocking<{ total(): void }>(fixture('thread-named.cjs'));
    const outcome = await shared().add(module.total).settled;
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
    expect(outcome.error?.message).toContain('number');
  });

  it('that inherits a name from Object has no such export', async () => {
    const module = blocking<{ hasOwnProperty(): void }>(fixture('thread-dynamic.cjs'));
    const outcome = await shared().add(module.hasOwnProperty).settled;
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
  });
});

describe('threads that cannot start', () => {
  const brokenPreload: PoolOptions = {
    maxThreads: 2,
    execArgv: ['--import', fixture('preload-throws.mjs').href],
  };

  it.each<[string, PoolOptions, string]>([
    ['an option that Node does not know', { maxThreads: 2, execArgv: ['--no-such-flag'] }, '--no-such-flag'],
    ['a preloaded module that throws', brokenPreload, 'the preload is broken'],
  ])('fail the tasks that wait for them, and those that come later: %s', async (_what, pool, message) => {
    const background = makeBackground({ pool });
    const handles = [1, 2, 3].map((count) => background.add(tasks.add, count, count));
    for (const { settled } of handles) {
      const outcome = await settled;
      expect(outcome.state).toBe('failed');
      expect(codeOf(outcome)).toBe('ERR_BACKGROUND_THREAD_START');
      expect(outcome.error?.message).toContain(message);
    }
    expect(codeOf(await background.add(tasks.add, 4, 4).settled)).toBe('ERR_BACKGROUND_THREAD_START');
    expect(background.stats()).toMatchObject({ added: 4, settled: 4, waiting: 0, running: 0 });
    expect(await background.close()).toMatchObject({ abandoned: [] });
  });

  it('throw at backgroundTasks() where `minThreads` asks for them and Node refuses the options', () => {
    const error = thrownBy(() => makeBackground({ pool: { minThreads: 1, execArgv: ['--no-such-flag'] } }));
    expect(error.code).toBe('ERR_BACKGROUND_THREAD_START');
  });

  it('fail the first task where `minThreads` asks for them and a preloaded module throws', async () => {
    const background = makeBackground({ pool: { ...brokenPreload, minThreads: 1 } });
    expect(codeOf(await background.add(tasks.add, 1, 1).settled)).toBe('ERR_BACKGROUND_THREAD_START');
  });
});

describe('a process', () => {
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

  it('is not kept alive by an idle package with a warm thread', async () => {
    expect(JSON.parse(await runScript('script-idle.mjs'))).toEqual({ value: 42, threads: 1 });
  });

  it('is not kept alive by threads that were started and never used', async () => {
    expect(await runScript('script-never-used.mjs')).toBe('end of script\n');
  });

  it('that adds one blocking task and comes to its end runs it all the same', async () => {
    expect(await runScript('script-add-and-end.mjs')).toBe('end of script\nthe task ran\n');
  });
});

describe('traps of the thread library underneath', () => {
  const shared = shareThread();

  it('order: sixteen tasks on one thread end in the order added', async () => {
    const background = shared();
    const ended: number[] = [];
    background.on('settled', ({ value }) => ended.push(value as number));
    for (let number = 0; number < 16; number += 1) background.add(tasks.echo, number);
    await background.idle();
    expect(ended).toEqual(Array.from({ length: 16 }, (_, index) => index));
  });

  it('death with waiting tasks: the only thread dies, and what waits still runs', async () => {
    const background = shared();
    const dying = background.add(tasks.exitWith, 1);
    const waiting = [1, 2, 3].map((number) => background.add(tasks.echo, number));
    expect((await dying.settled).state).toBe('failed');
    for (const [index, { settled }] of waiting.entries()) {
      expect(await settled).toMatchObject({ state: 'completed', value: index + 1 });
    }
  });

  it('repeated deaths: every thread dies several times, and the pool is as large as before', async () => {
    const background = withThreads(2);
    const dying = Array.from({ length: 4 }, (_, code) => background.add(tasks.exitWith, code + 1));
    for (const [index, { settled }] of dying.entries()) {
      expect((await settled).error).toMatchObject({ exitCode: index + 1 });
    }
    const gates = [makeThreadGate(), makeThreadGate()];
    for (const { shared } of gates) background.add(tasks.hold, shared);
    for (const gate of gates) await gate.entered();
    expect(threadsOf(background)).toBe(2);
    for (const gate of gates) gate.open();
  });

  it('a module that fails at import: a hundred tasks of it all settle', async () => {
    const broken = blocking<{ work(): string }>(fixture('thread-throws.mjs'));
    const background = withThreads(2);
    for (let count = 0; count < 100; count += 1) background.add(broken.work);
    await background.idle();
    expect(background.stats()).toMatchObject({ added: 100, outcomes: { failed: 100 } });
  });

  it('a signal: tasks that can all be cancelled keep their order and the limit of the backlog', async () => {
    const background = withThreads(1, { maxBacklog: 5 });
    const gate = makeThreadGate();
    background.add(tasks.hold, gate.shared);
    await gate.entered();
    const waiting = [1, 2, 3, 4].map((number) => background.add(tasks.echo, number));
    expect(thrownBy(() => background.add(tasks.nothing)).code).toBe('ERR_BACKGROUND_FULL');
    const order: unknown[] = [];
    background.on('settled', ({ value }) => order.push(value));
    waiting[1]?.cancel();
    gate.open();
    await background.idle();
    expect(order.filter((value) => typeof value === 'number').slice(-3)).toEqual([1, 3, 4]);
  });

  it('close with two threads: it waits for the running task, though the other thread is idle', async () => {
    const background = withThreads(2);
    const gate = makeThreadGate();
    const running = background.add(tasks.hold, gate.shared);
    await gate.entered();
    const brief = background.add(tasks.nothing);
    const closing = background.close({ timeout: 10_000 });
    await brief.settled;
    gate.open();
    expect((await running.settled).state).toBe('completed');
    expect(await closing).toEqual({ completed: 2, failed: 0, abandoned: [] });
  });

  it('after close: nothing is taken, and no thread is started', async () => {
    const background = withThreads(2);
    await background.add(tasks.nothing).settled;
    await background.close();
    expect(thrownBy(() => background.add(tasks.nothing)).code).toBe('ERR_BACKGROUND_CLOSED');
    expect(threadsOf(background)).toBe(0);
  });

  it('a frozen event loop: a timer that a task left fires while the thread is idle', async () => {
    const background = shared();
    const fired = makeThreadGate();
    await background.add(tasks.leaveSignallingTimer, fired.shared, 30).settled;
    await fired.entered();
    expect(background.stats().executors.thread).toMatchObject({ running: 0, idleThreads: 1 });
  });

  it('throw null: the task has failed', async () => {
    const { nul } = blocking<{ nul(): void }>(fixture('thread-errors.mjs'));
    expect((await shared().add(nul).settled).state).toBe('failed');
  });

  it('a running clock: the time limit starts with the attempt, not with its submission', async () => {
    const background = shared();
    const holders = [1, 2, 3].map(() => background.with({ timeout: 400 }).add(tasks.busyFor, 200));
    for (const { settled } of holders) expect((await settled).state).toBe('completed');
  });
});
