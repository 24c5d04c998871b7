/** Several short tasks in one message: nothing but the time that they take may differ. */
import { MessagePort } from 'node:worker_threads';
import { describe, expect, it, jest } from '@jest/globals';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  type Outcome,
  type TaskHandle,
} from 'express-background-tasks';
import { describeThrown } from './faults/settlement.ts';
import { FAULTS, type Fault } from './faults/table.ts';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { untilCollected } from './support/garbage.ts';
import { makeGate, makeThreadGate, type ThreadGate } from './support/gates.ts';
import { codeOf } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { bareHttp, serve } from './support/servers.ts';
import { untilHolds, work } from './support/time.ts';

expectNoProcessFaults();

const tasks = blocking<typeof import('./fixtures/batch-tasks.mjs')>(fixture('batch-tasks.mjs'));
/** At the priority of the tests, which wait for it. */
const ONE_THREAD = { maxThreads: 1, niceIncrement: 0 };
const COUNT = 12;
/** How often a task must have run until it counts as short, even on a busy machine. */
const LESSONS = 30;

const countRuns = (): Int32Array => new Int32Array(new SharedArrayBuffer(COUNT * Int32Array.BYTES_PER_ELEMENT));
const resultOf = (outcome: Outcome): unknown => (outcome.state === 'completed' ? outcome.value : outcome.state);

/**
 * An instance with a single thread to which these tasks took no time at all: however busy the machine is, the next of them
 * that wait together go in one message.
 */
async function makeTaught(options: BackgroundTasksOptions = {}): Promise<BackgroundTasks> {
  const background = makeBackground({ ...options, pool: { ...ONE_THREAD, ...options.pool } });
  // Of several threads that are idle, the one that was busy last is given the next task.
  await untilHolds(() => {
    const { threads, idleThreads } = background.stats().executors.thread;
    return threads === idleThreads;
  });
  await background.add(tasks.stopClock).settled;
  await background.add(tasks.short).settled;
  await background.add(tasks.end, '').settled;
  await background.add(tasks.unruly, countRuns(), 0).settled;
  await background.add(tasks.forWhom).settled;
  await background.add(tasks.startClock).settled;
  return background;
}

/** An instance with a single thread for which these tasks take no time at all: those that wait together are always one batch. */
async function makeTimeless(pool: BackgroundTasksOptions['pool'] = {}): Promise<BackgroundTasks> {
  const background = await makeTaught({ pool });
  await background.add(tasks.stopClock).settled;
  return background;
}

/** Keeps the only thread busy, so that what is added waits together, until the gate is opened. */
async function holdThread(background: BackgroundTasks): Promise<ThreadGate> {
  const gate = makeThreadGate();
  background.add(tasks.hold, gate.shared);
  await gate.entered();
  return gate;
}

/** Adds tasks while the only thread is held, so that they wait together. */
async function addTogether<Handle>(background: BackgroundTasks, add: () => Handle[]): Promise<Handle[]> {
  const gate = await holdThread(background);
  const handles = add();
  gate.open();
  return handles;
}

/** Adds tasks that go in one message; resolves when they have gone. */
async function addBatch<Handle>(background: BackgroundTasks, add: () => Handle[]): Promise<Handle[]> {
  const gate = await holdThread(background);
  const handles = add();
  const size = sizeOfNextMessage();
  gate.open();
  expect(await size).toBe(handles.length);
  return handles;
}

const settle = (handles: readonly TaskHandle[]): Promise<Outcome[]> =>
  Promise.all(handles.map(({ settled }) => settled));

/**
 * `see` is given the arguments of each task in a message to a thread, just before it is sent; what it throws, sending throws.
 * Until the test ends, or the returned function is called.
 */
function watchMessages(see: (tasks: readonly (readonly unknown[])[]) => void): () => void {
  const { postMessage } = MessagePort.prototype;
  const spy = jest.spyOn(MessagePort.prototype, 'postMessage').mockImplementation(function (
    this: MessagePort,
    ...args: Parameters<typeof postMessage>
  ) {
    const [message] = args as [{ args?: unknown; tasks?: readonly unknown[] }];
    const sent = [message.args, ...(message.tasks ?? [])].filter(Array.isArray);
    if (sent.length > 0) see(sent);
    postMessage.apply(this, args);
  });
  const stop = (): void => spy.mockRestore();
  atEnd(stop);
  return stop;
}

/** How many tasks each message to a thread has, in a list that grows. */
function watchSizes(): readonly number[] {
  const sizes: number[] = [];
  watchMessages(({ length }) => sizes.push(length));
  return sizes;
}

function sizeOfNextMessage(): Promise<number> {
  return new Promise((resolve) => {
    const stop = watchMessages(({ length }) => {
      stop();
      resolve(length);
    });
  });
}

/** Until the test ends, no port accepts a message that contains this argument; the returned function counts the refused ones. */
function refuseToSend(refused: string): () => number {
  let refusals = 0;
  watchMessages((sent) => {
    if (!sent.flat().includes(refused)) return;
    refusals += 1;
    throw new Error(`${refused} could not be cloned.`);
  });
  return () => refusals;
}

/** Resolves when so many tasks of a batch were taken back, as happens to what its thread has not begun after some time. */
function untilTakenBack(count: number): Promise<void> {
  const { compareExchange } = Atomics;
  let left = count;
  return new Promise((resolve) => {
    const spy = jest.spyOn(Atomics, 'compareExchange').mockImplementation((...cell) => {
      left -= 1;
      if (left === 0) resolve();
      return compareExchange(...(cell as Parameters<typeof compareExchange>));
    });
    atEnd(() => spy.mockRestore());
  });
}

/** Adds {@link COUNT} tasks that count their runs; the one at `index` does as it is told. */
function addUnruly(background: BackgroundTasks, runs: Int32Array, index: number, add: () => TaskHandle): TaskHandle[] {
  return Array.from({ length: COUNT }, (_, place) =>
    place === index ? add() : background.add(tasks.unruly, runs, place),
  );
}

/** The same in one batch, whose thread has come to the one at `index`: it does as it is told to, with the gate. */
async function startOneOfMany(index: number, how: Parameters<typeof import('./fixtures/batch-tasks.mjs').unruly>[2]) {
  const background = await makeTaught();
  const runs = countRuns();
  const gate = makeThreadGate();
  const handles = await addBatch(background, () =>
    addUnruly(background, runs, index, () => background.add(tasks.unruly, runs, index, how, gate.shared)),
  );
  await gate.entered();
  return { background, runs, gate, handles };
}

describe('tasks that wait for the same thread', () => {
  /** An instance that knows how long this task takes on this machine. */
  async function makeExperienced(task: typeof tasks.short | typeof tasks.long): Promise<BackgroundTasks> {
    const background = makeBackground({ pool: ONE_THREAD });
    for (let lesson = 0; lesson < LESSONS; lesson += 1) await background.add(task).settled;
    return background;
  }

  it('take few messages, once they have proved to be short', async () => {
    const background = await makeExperienced(tasks.short);
    const fewest = COUNT / 2;
    // On a busy machine they may look long for a while.
    for (let seen = COUNT; seen > fewest; ) {
      const handles = await addTogether(background, () =>
        Array.from({ length: COUNT }, () => background.add(tasks.short)),
      );
      seen = new Set((await settle(handles)).map(resultOf)).size;
    }
  });

  it('take a message each, once they have proved to be long', async () => {
    const background = await makeExperienced(tasks.long);
    const sizes = watchSizes();
    const handles = await addTogether(background, () =>
      Array.from({ length: COUNT }, () => background.add(tasks.long)),
    );
    await settle(handles);
    const ofHold = 1;
    expect(sizes).toEqual([ofHold, ...new Array(COUNT).fill(1)]);
  });

  it('take a message each, if `pool.batch` is false', async () => {
    const background = await makeTaught({ pool: { batch: false } });
    const handles = await addTogether(background, () =>
      Array.from({ length: COUNT }, () => background.add(tasks.short)),
    );
    const moments = new Set((await settle(handles)).map(resultOf));
    expect(moments.size).toBe(COUNT);
  });

  it('take a message each, until it is known how long they take', async () => {
    const background = makeBackground({ pool: ONE_THREAD });
    await background.add(tasks.end, '').settled;
    const handles = await addTogether(background, () => [background.add(tasks.short), background.add(tasks.short)]);
    const moments = new Set((await settle(handles)).map(resultOf));
    expect(moments.size).toBe(2);
  });

  it('reach it while others are added in the same turn, and are reported only after that turn', async () => {
    const background = await makeTaught();
    let settledEvents = 0;
    background.on('settled', () => {
      settledEvents += 1;
    });
    const runs = countRuns();
    const others = countRuns();
    const handles: TaskHandle[] = [];
    // One would have reached it anyway. On a busy machine they may be taken for long, and go one at a time.
    const REACHED = 20;
    for (let breath = 0; breath < 200 && Atomics.load(runs, 0) < REACHED; breath += 1) {
      for (let added = 0; added < 32; added += 1) handles.push(background.add(tasks.unruly, runs, 0));
      // Nothing notifies it: this gives the core to the thread, and blocks the event loop like a handler that only adds.
      Atomics.wait(others, 0, 0, 10);
    }
    expect(Atomics.load(runs, 0)).toBeGreaterThanOrEqual(REACHED);
    expect(settledEvents).toBe(0);
    await settle(handles);
    expect(settledEvents).toBe(handles.length);
    expect(Atomics.load(runs, 0)).toBe(handles.length);
  });
});

describe('a thread that was asked between the last task of its batch and its word that it takes more', () => {
  it('is given what is added in the same turn as soon as it has said so', async () => {
    const background = await makeTimeless();
    const gate = makeThreadGate();
    await background.add(tasks.holdEndOfBatch, gate.shared).settled;
    const runs = countRuns();
    await addTogether(background, () => [0, 1].map((index) => background.add(tasks.unruly, runs, index)));
    await gate.entered();
    const handles: TaskHandle[] = [];
    // Enough that the thread is asked.
    const addMany = (): void => {
      for (let added = 0; added < 32; added += 1) handles.push(background.add(tasks.unruly, runs, 2));
    };
    addMany();
    gate.open();
    for (let breath = 0; breath < 200 && Atomics.load(runs, 2) === 0; breath += 1) {
      addMany();
      // Nothing notifies it: this gives the core to the thread, and blocks the event loop like a handler that only adds.
      Atomics.wait(countRuns(), 0, 0, 10);
    }
    expect(Atomics.load(runs, 2)).toBeGreaterThan(0);
    await settle(handles);
  });
});

describe('in a batch', () => {
  const ENDINGS = [
    ...['undefined', 'null', 'yes', 'no', 'zero', 'number', 'infinite', 'nan', 'big', 'empty', 'text', 'halves'],
    ...['longest', 'longer', 'object', 'bytes', 'moved', 'function', 'throws', 'throws null', 'rejects', 'later', ''],
  ];
  const withoutTimes = ({ id, waitedMs, ranMs, ...rest }: Outcome): unknown => rest;

  it('every task ends as it does alone', async () => {
    const [together, alone] = await Promise.all([makeTaught(), makeTaught({ pool: { batch: false } })]);
    const add = (background: BackgroundTasks) => () => ENDINGS.map((how) => background.add(tasks.end, how));
    const batched = await addBatch(together, add(together)).then(settle);
    const single = await addTogether(alone, add(alone)).then(settle);
    expect(batched.map(withoutTimes)).toEqual(single.map(withoutTimes));
  });

  it('each task has the context of its own request', async () => {
    const background = await makeTaught({ context: ({ url }) => ({ user: url?.slice(1) }) });
    const handles: TaskHandle[] = [];
    let begun = makeGate();
    const port = await serve(
      bareHttp.listener([background], (_req, res) => {
        const list = res.locals.backgroundTasks;
        // When it settles, the next in its list has just begun to wait for the thread.
        const first = list.add(() => {});
        void first.settled.then(() => begun.open());
        handles.push(list.add(tasks.forWhom));
        res.end();
      }),
    );
    const gate = await holdThread(background);
    for (const user of ['ada', 'grace']) {
      begun = makeGate();
      await request(port, { path: `/${user}` });
      await begun.opened;
    }
    const size = sizeOfNextMessage();
    gate.open();
    expect(await size).toBe(2);
    expect((await settle(handles)).map(resultOf)).toEqual(['for ada', 'for grace']);
  });

  it('each task has its own id and priority', async () => {
    const background = await makeTaught();
    const order: string[] = [];
    background.on('started', ({ name }) => order.push(name));
    const [low, high, id] = await addBatch(background, () => [
      background.with({ priority: -1, name: 'low' }).add(tasks.short),
      background.with({ priority: 1, name: 'high' }).add(tasks.short),
      background.add(tasks.end, 'id'),
    ]);
    expect(resultOf((await id?.settled) as Outcome)).toBe(id?.id);
    await Promise.all([low?.settled, high?.settled]);
    expect(order.indexOf('high')).toBeLessThan(order.indexOf('low'));
  });

  it('each task is reported as started and settled, once, with the time that it took itself', async () => {
    const background = await makeTaught();
    const told: string[] = [];
    background.on('started', ({ id }) => told.push(`started ${id}`));
    background.on('settled', ({ id }) => told.push(`settled ${id}`));
    const startedAt = performance.now();
    const handles = await addBatch(background, () => Array.from({ length: COUNT }, () => background.add(tasks.short)));
    const outcomes = await settle(handles);
    const elapsed = performance.now() - startedAt;
    for (const { id } of handles) {
      expect(told.filter((line) => line.endsWith(id))).toEqual([`started ${id}`, `settled ${id}`]);
    }
    const settled = told.filter((line) => handles.some(({ id }) => line === `settled ${id}`));
    expect(settled).toEqual(handles.map(({ id }) => `settled ${id}`));
    for (const { waitedMs, ranMs } of outcomes) {
      expect(ranMs).toBeGreaterThan(0);
      expect(waitedMs).toBeGreaterThan(0);
      expect(waitedMs + ranMs).toBeLessThanOrEqual(elapsed);
    }
  });

  it('tasks behind the running one count as waiting, and one of them that is cancelled never runs', async () => {
    const { background, runs, gate, handles } = await startOneOfMany(0, 'holds');
    expect(handles.map(({ state }) => state)).toEqual(['running', ...new Array(COUNT - 1).fill('waiting')]);
    expect(background.stats().executors.thread).toMatchObject({ running: 1, waiting: COUNT - 1 });
    expect(handles[5]?.cancel()).toBe(true);
    expect(handles[5]?.state).toBe('cancelled');
    gate.open();
    await settle(handles);
    expect([...runs]).toEqual(handles.map((_, index) => (index === 5 ? 0 : 1)));
  });

  const deaths = FAULTS.filter(
    ({ module, workers, times, expected: { thread } }) =>
      [module, workers, times].every((unusual) => unusual === undefined) &&
      /ERR_BACKGROUND_(?:THREAD_EXITED|OUT_OF_MEMORY|TIMEOUT)/.test(String(thread)),
  );

  /** Commits the fault in the middle of a batch. */
  async function expectDeathOfOne({ task, argument, timeout, expected }: Fault, meanwhile?: () => Promise<void>) {
    const background = await makeTaught({ pool: { resourceLimits: { maxOldGenerationSizeMb: 32 } } });
    const runs = countRuns();
    const handles = await addBatch(background, () =>
      addUnruly(background, runs, 4, () => background.with({ timeout }).add(tasks.unruly, runs, 4, task, argument)),
    );
    await meanwhile?.();
    const outcomes = await settle(handles);
    const [guilty] = outcomes.splice(4, 1) as [Outcome];
    expect(`${guilty.state}: ${describeThrown(guilty.error)}`).toBe(expected.thread);
    expect(outcomes.map(resultOf)).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]);
    expect([...runs]).toEqual(new Array(COUNT).fill(1));
  }

  it.each(deaths)(
    'a task that $what fails alone: those before it keep their results, those behind it run elsewhere, and none runs twice',
    async (fault) => expectDeathOfOne(fault),
  );

  it.each(deaths.filter(({ timeout }) => timeout === undefined))(
    'so does one that $what while the event loop is blocked, so that the death of its thread is the first that is heard of it',
    async (fault) =>
      expectDeathOfOne(fault, async () => {
        // In a timer: messages are read next, and what their batch has not begun would be taken back by a later one.
        await work(0);
        // Nothing notifies it.
        Atomics.wait(countRuns(), 0, 0, 300);
      }),
  );

  it('a task that is cancelled while it runs hears of it by its signal, and the others run on', async () => {
    const { runs, handles } = await startOneOfMany(3, 'heeds its signal');
    handles[3]?.cancel('enough');
    const outcomes = await settle(handles);
    expect(outcomes.map(({ state }) => state)).toEqual(
      handles.map((_, index) => (index === 3 ? 'cancelled' : 'completed')),
    );
    expect([...runs]).toEqual(new Array(COUNT).fill(1));
  });

  it('a task that returns at its signal while the event loop is blocked does not end the thread, and the others run', async () => {
    const takenBack = untilTakenBack(COUNT - 1);
    const { runs, handles } = await startOneOfMany(0, 'returns at its signal');
    await takenBack;
    // Timers come next, before any message from the thread is read.
    await new Promise(setImmediate);
    handles[0]?.cancel('enough');
    // Nothing notifies it: this blocks the event loop for longer than a thread has to heed its signal.
    Atomics.wait(countRuns(), 0, 0, 400);
    const outcomes = await settle(handles);
    expect(outcomes.map(({ state }) => state)).toEqual(
      handles.map((_, index) => (index === 0 ? 'cancelled' : 'completed')),
    );
    expect([...runs]).toEqual(new Array(COUNT).fill(1));
  });

  it('a task that takes much longer than it used to does not keep those behind it from the other thread, in any batch', async () => {
    const background = await makeTaught({ pool: { minThreads: 2, maxThreads: 2 } });
    // In the second round each thread has had a batch before.
    for (let round = 0; round < 2; round += 1) {
      const runs = countRuns();
      const [one, other, long] = [makeThreadGate(), makeThreadGate(), makeThreadGate()];
      background.add(tasks.hold, one.shared);
      background.add(tasks.hold, other.shared);
      await Promise.all([one.entered(), other.entered()]);
      const handles = addUnruly(background, runs, 0, () => background.add(tasks.unruly, runs, 0, 'holds', long.shared));
      const size = sizeOfNextMessage();
      one.open();
      // On a busy machine the first round may have taught that these take longer.
      if (round === 0) expect(await size).toBe(COUNT);
      else expect(await size).toBeGreaterThan(1);
      await long.entered();
      other.open();
      await settle(handles.slice(1));
      expect(handles[0]?.state).toBe('running');
      long.open();
      await settle(handles);
      expect([...runs]).toEqual(new Array(COUNT).fill(1));
    }
  });

  it('a task that begins at the moment when it is to be taken back is ended by its time limit, too', async () => {
    const background = await makeTimeless();
    const runs = countRuns();
    const gate = makeThreadGate();
    const { compareExchange } = Atomics;
    const takingBack = jest.spyOn(Atomics, 'compareExchange').mockImplementationOnce((...cell) => {
      gate.open();
      while (Atomics.load(runs, 1) === 0);
      return compareExchange(...(cell as Parameters<typeof compareExchange>));
    });
    atEnd(() => takingBack.mockRestore());
    const handles = await addBatch(background, () => [
      background.add(tasks.unruly, runs, 0, 'holds', gate.shared),
      background.with({ timeout: 400 }).add(tasks.unruly, runs, 1, 'loopForEver'),
      background.add(tasks.unruly, runs, 2),
    ]);
    expect((await settle(handles)).map(resultOf)).toEqual([0, 'timed-out', 2]);
    expect([...runs.slice(0, 3)]).toEqual([1, 1, 1]);
  });

  it('tasks for which close() has no time left are named, and do not run', async () => {
    const { background, runs } = await startOneOfMany(0, 'holds');
    const { abandoned } = await background.close({ timeout: 100 });
    expect(abandoned).toHaveLength(COUNT);
    expect([...runs]).toEqual([1, ...new Array(COUNT - 1).fill(0)]);
  });

  it('a task that cannot be sent fails alone, and the others are sent without it', async () => {
    const background = await makeTaught();
    const runs = countRuns();
    const refusals = refuseToSend('the refused one');
    // A machine that is busy may make them look long, and send each alone. In a batch it is refused there, and then alone.
    for (let round = 1, batches = 0; batches < 2; round += 1) {
      const before = refusals();
      const outcomes = await addTogether(background, () =>
        addUnruly(background, runs, 4, () => background.add(tasks.end, 'the refused one')),
      ).then(settle);
      expect(outcomes.map(resultOf)).toEqual([0, 1, 2, 3, 'failed', 5, 6, 7, 8, 9, 10, 11]);
      expect(outcomes[4]).toMatchObject({
        attempts: 0,
        error: { code: 'ERR_BACKGROUND_NOT_CLONEABLE', cause: { message: 'the refused one could not be cloned.' } },
      });
      expect([...runs]).toEqual(Array.from(runs, (_, index) => (index === 4 ? 0 : round)));
      if (refusals() - before === 2) batches += 1;
    }
    expect(background.stats().executors.thread).toMatchObject({ waiting: 0, running: 0, idleThreads: 1 });
  });

  it('no result is kept in memory until the next batch', async () => {
    const background = await makeTaught({ history: 0 });
    const results = await addBatch(background, () =>
      Array.from({ length: COUNT }, () => background.add(tasks.end, 'object').settled),
    );
    const values = (await Promise.all(results.splice(0))).map((outcome) => new WeakRef(resultOf(outcome) as object));
    expect(values).toHaveLength(COUNT);
    for (const value of values) await untilCollected(value);
  });

  it('retries work as they do outside a batch', async () => {
    const background = await makeTaught({ retry: { attempts: 2, delay: 1, jitter: 0 } });
    const handles = await addBatch(background, () =>
      ['throws', 'undefined', 'throws'].map((how) => background.add(tasks.end, how)),
    );
    expect((await settle(handles)).map(({ state, attempts }) => [state, attempts])).toEqual([
      ['failed', 2],
      ['completed', 1],
      ['failed', 2],
    ]);
  });

  it('a task whose arguments its thread cannot read fails alone', async () => {
    const background = await makeTaught({ pool: { resourceLimits: { stackSizeMb: 0.5 } } });
    const handles = await addBatch(background, () =>
      [0, nested(1_200), 0].map((index) => background.add(tasks.short, undefined, index as number)),
    );
    const codes = (await settle(handles)).map(codeOrState);
    expect(codes).toEqual(['completed', 'ERR_BACKGROUND_NOT_CLONEABLE', 'completed']);
    expect((await background.add(tasks.short).settled).state).toBe('completed');
  });

  it('it fails alone also when its thread reads the batch so late that all but the first were taken back', async () => {
    const background = await makeTaught({ pool: { resourceLimits: { stackSizeMb: 0.5 } } });
    const sizes = watchSizes();
    const takenBack = untilTakenBack(2);
    const gate = makeThreadGate();
    const handles = await addTogether(background, () => [
      background.add(tasks.holdAfterwards, gate.shared),
      ...[0, nested(1_200), 0].map((index) => background.add(tasks.short, undefined, index as number)),
    ]);
    await handles[0]?.settled;
    const [ofHold, ofHoldAfterwards] = [1, 1];
    expect(sizes).toEqual([ofHold, ofHoldAfterwards, 3]);
    await takenBack;
    gate.open();
    const codes = (await settle(handles)).map(codeOrState);
    expect(codes).toEqual(['completed', 'completed', 'ERR_BACKGROUND_NOT_CLONEABLE', 'completed']);
  });

  it('a task that is cancelled as the first of a batch that its thread cannot read never runs', async () => {
    const background = await makeTimeless({ resourceLimits: { stackSizeMb: 0.5 } });
    const runs = countRuns();
    const handles = await addTogether(background, () => [
      background.add(tasks.unruly, runs, 0),
      background.add(tasks.unruly, runs, 1, nested(1_200) as never),
      background.add(tasks.unruly, runs, 2),
    ]);
    background.on('started', ({ id }) => id === handles[0]?.id && handles[0].cancel());
    const codes = (await settle(handles)).map(codeOrState);
    expect(codes).toEqual(['ERR_BACKGROUND_CANCELLED', 'ERR_BACKGROUND_NOT_CLONEABLE', 'completed']);
    expect([...runs.slice(0, 3)]).toEqual([0, 0, 1]);
  });
});

it('a task that its thread cannot read, cancelled while the event loop is blocked, does not end the thread of the next', async () => {
  const background = makeBackground({ pool: { maxThreads: 1, resourceLimits: { stackSizeMb: 0.5 } } });
  await background.add(tasks.short).settled;
  // Timers come next, before any message from the thread is read.
  await new Promise(setImmediate);
  const unreadable = background.add(tasks.short, undefined, nested(1_200) as never);
  const next = background.add(tasks.short);
  unreadable.cancel();
  // Nothing notifies it: this blocks the event loop for longer than a thread has to heed its signal.
  Atomics.wait(countRuns(), 0, 0, 400);
  expect((await settle([unreadable, next])).map(codeOrState)).toEqual(['ERR_BACKGROUND_CANCELLED', 'completed']);
});

function nested(depth: number): unknown[] {
  return depth === 0 ? [] : [nested(depth - 1)];
}

function codeOrState(outcome: Outcome): unknown {
  return codeOf(outcome) ?? outcome.state;
}
