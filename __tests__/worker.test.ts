import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  type BackgroundTasksOptions,
  backgroundTasks,
  createWorker,
  type DurableBackgroundTasks,
  type DurableTask,
  durable,
  type Outcome,
  type StagedTask,
  type TaskHandle,
  type TaskWorker,
  type WorkContext,
  type WorkerOptions,
  type WorkFunction,
  type WorkResult,
} from 'express-background-tasks';
import { type MemoryEngine, memoryEngine } from 'express-background-tasks/testing/engine';
import type * as durableTasks from './fixtures/durable-tasks.cjs';
import { atEnd } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { later } from './support/clock.ts';
import { localTasks, tasks, until } from './support/durable-app.ts';
import { readableError } from './support/failures.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate } from './support/gates.ts';
import { type LogBook, openLogBook } from './support/log-book.ts';
import { optionNames } from './support/option-names.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { serve, type TaskedResponse } from './support/servers.ts';

expectNoProcessFaults();

const isolated = durable<typeof durableTasks>('isolated', fixture('durable-tasks.cjs'), { executor: 'process' });
const checked = durable<typeof durableTasks>('checked', fixture('durable-tasks.cjs'), {
  executor: 'event-loop',
  retry: { retryIf: (error) => error.code === 'EAGAIN' },
  parse: {
    echo(args) {
      if (typeof args[0] !== 'number') throw new TypeError(`expected a number, got ${args[0]}`);
      return args.map((arg) => Number(arg) + 1);
    },
    fail: (args) => args as [string],
    spinForEver() {
      throw readableError('code', 2);
    },
    // As a parser in JavaScript may be written.
    describeItself: (() => Promise.reject(new TypeError('looked up too late'))) as never,
  },
});

const QUICK = { retry: { delay: 1 } };

interface Setting {
  readonly engine: MemoryEngine;
  readonly web: DurableBackgroundTasks;
  readonly log: ReturnType<typeof openLogBook>;
  work(options?: Partial<WorkerOptions>): Promise<TaskWorker>;
  until(handle: Pick<TaskHandle, 'id'>, state: DurableTask['state']): Promise<DurableTask>;
}

/** One that ends with the test. */
function setting(): Setting {
  const opened = openSetting();
  atEnd(opened.close);
  return opened;
}

function openSetting(options: BackgroundTasksOptions = {}): Setting & { close(): Promise<unknown> } {
  const engine = memoryEngine();
  const log = openLogBook();
  const web = backgroundTasks({ ...options, engine: engine.connect(), logger: false, ...QUICK });
  const workers: TaskWorker[] = [];
  return {
    engine,
    web,
    log,
    async work(workerOptions = {}) {
      const worker = await createWorker({ engine: engine.connect(), logger: log.logger, ...workerOptions });
      workers.push(worker);
      return worker;
    },
    async until({ id }, state) {
      const connection = await connected(engine);
      return until(
        () => connection.find(id),
        (task) => task?.state === state,
      ) as Promise<DurableTask>;
    },
    close: () => Promise.all([...workers, web].map((one) => one.close({ timeout: 0 }))),
  };
}

async function connected(engine: MemoryEngine): Promise<MemoryEngine> {
  const connection = engine.connect();
  await connection.start({ warn() {}, error() {} });
  return connection;
}

/** Other faults are looked for where there is an engine. */
function withEngine(options: unknown): unknown {
  return typeof options === 'object' && options !== null ? { engine: memoryEngine(), ...options } : options;
}

/** A message as another version of the package, or another program, may have written it. */
async function stage(engine: MemoryEngine, envelope: object): Promise<{ id: string }> {
  const connection = await connected(engine);
  const id = randomUUID();
  const retry = { attempts: 3, delay: 1, factor: 1, maxDelay: 1, jitter: 0 };
  const task = { holdMs: 0, priority: 0, retry, envelope: { v: 1, id, task: 'tasks.echo', args: [], ...envelope } };
  await connection.stage([task as StagedTask], {});
  return { id };
}

/** Hands tasks to a worker as an engine does, and resolves to what it answers. */
async function handingTo(
  options: Partial<WorkerOptions>,
): Promise<(envelope: object, context?: Partial<WorkContext>) => Promise<WorkResult>> {
  let run!: WorkFunction;
  const engine = memoryEngine({
    intercept(method, proceed, args) {
      if (method === 'work') [run] = args as [WorkFunction];
      return proceed();
    },
  });
  const worker = await createWorker({ engine, logger: false, ...options });
  atEnd(() => worker.close({ timeout: 0 }));
  const { signal } = new AbortController();
  return (envelope, context) =>
    run(
      { v: 1, id: randomUUID(), task: 'local.echo', args: [], ...envelope },
      { attempt: 1, retryInMs: undefined, stagedAt: Date.now(), signal, ...context },
    );
}

describe('a worker', () => {
  let worker: TaskWorker;
  let on: ReturnType<typeof openSetting>;
  // Shared by the tests below: most of the time goes into starting the first thread and the first process.
  beforeAll(async () => {
    on = openSetting({ context: () => ({ from: 'web' }) });
    worker = await on.work({ concurrency: 8 });
  });
  afterAll(() => on.close());

  it('names the tasks that it runs', () => {
    expect(worker.tasks).toEqual(expect.arrayContaining(['tasks.echo', 'local.echo', 'isolated.fail', 'checked.echo']));
    expect(worker.tasks.every((name) => /^(tasks|local|isolated|checked)\.\w+$/.test(name))).toBe(true);
  });

  it.each([
    ['a thread', tasks],
    ['a process', isolated],
    ['its event loop', localTasks],
  ])('runs tasks in %s, which know what they are', async (_name, module) => {
    const handle = on.web.add(module.describeItself);
    expect((await on.until(handle, 'completed')).value).toEqual({
      id: handle.id,
      name: handle.name,
      attempt: 1,
    });
  });

  it.each([
    ['a thread', tasks],
    ['a process', isolated],
    ['its event loop', localTasks],
  ])('tries a task in %s again by the policy it was added with, and counts the attempts', async (_name, module) => {
    const thirdTime = on.web.with({ retry: { attempts: 3 } }).add(module.failUntilAttempt, 3);
    expect(await on.until(thirdTime, 'completed')).toMatchObject({ attempts: 3, value: 3 });
    const never = on.web.with({ retry: { attempts: 2 } }).add(module.fail, 'no such order', 'ENOENT');
    expect(await on.until(never, 'failed')).toMatchObject({
      attempts: 2,
      error: {
        name: 'RangeError',
        message: 'no such order',
        code: 'ENOENT',
        stack: expect.stringContaining('durable-tasks.cjs'),
      },
    });
  });

  it.each([
    ['a thread', tasks],
    ['a process', isolated],
  ])('ends a task in %s that takes longer than the timeout it was added with', async (_name, module) => {
    const endless = on.web.with({ timeout: 20, retry: { attempts: 1 } }).add(module.spinForEver);
    expect(await on.until(endless, 'failed')).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_TIMEOUT' } });
  });

  it('gives a task the context of its request', async () => {
    const added = makeGate<TaskHandle>();
    const port = await serve((req, res) => {
      on.web(req, res, () => {
        added.open((res as TaskedResponse).locals.backgroundTasks.add(tasks.describeItself));
        res.end();
      });
    });
    await request(port);
    expect((await on.until(await added.opened, 'completed')).value).toMatchObject({ context: { from: 'web' } });
  });

  it('checks arguments by `parse`, and runs the task with what that returns', async () => {
    expect((await on.until(on.web.add(checked.echo, 1), 'completed')).value).toEqual([2]);
    const refused = await on.until(on.web.add(checked.echo, 'one'), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } });
    expect(refused.error?.message).toContain('expected a number, got one');
    expect(on.log.withCode('ERR_BACKGROUND_ARGUMENTS')).toMatchObject([{ level: 'error', task: 'checked.echo' }]);
  });

  it('refuses a promise from `parse`, and is not harmed if it rejects', async () => {
    const refused = await on.until(on.web.add(checked.describeItself), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } });
    expect(refused.error?.message).toBe(
      'Expected the arguments of task checked.describeItself to pass `parse`: it returned a promise instead of an array',
    );
  });

  it('asks `retryIf` of the registry', async () => {
    const [once, often] = [on.web.add(checked.fail, 'no', 'ENOENT'), on.web.add(checked.fail, 'no', 'EAGAIN')];
    expect(await on.until(once, 'failed')).toMatchObject({ attempts: 1 });
    expect(await on.until(often, 'failed')).toMatchObject({ attempts: 3 });
  });

  it('refuses arguments that are no list', async () => {
    const refused = await on.until(await stage(on.engine, { args: { length: 1, card: '4111 1111' } }), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } });
    expect(refused.error?.message).toBe('Expected the arguments of task tasks.echo to be an array, got an object.');
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'soon'],
    ['below 1', -5],
    ['longer than timers can be set for', 1e12],
    ['what no number can be made of', { valueOf: 1, toString: 1 }],
  ])('refuses a timeout that no task can have, and runs the next task: %s', async (_what, timeout) => {
    const refused = await on.until(await stage(on.engine, { timeout }), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ENGINE' } });
    expect(refused.error?.message).toMatch(
      /^Expected the timeout of task tasks\.echo in the engine to be a number of milliseconds from 1 to 2147483647, or Infinity, got /,
    );
    expect((await on.until(on.web.add(tasks.echo, 'next'), 'completed')).value).toEqual(['next']);
  });

  it('keeps what a task returns where it is JSON, and no larger than it may be', async () => {
    expect((await on.until(on.web.add(localTasks.echo, 'x'.repeat(60_000)), 'completed')).value).toHaveLength(1);
    expect((await on.until(on.web.add(localTasks.echo, 'x'.repeat(70_000)), 'completed')).value).toBeUndefined();
  });

  it('keeps a code that is a number as a string', async () => {
    const unavailable = on.web.add(checked.fail, '14 UNAVAILABLE', 14);
    expect((await on.until(unavailable, 'failed')).error).toMatchObject({ code: '14' });
  });

  it('keeps the beginnings of a message and a stack that are too long', async () => {
    const message = 'x'.repeat(100_000);
    const { error } = await on.until(on.web.add(checked.fail, message), 'failed');
    expect(error).toMatchObject({ name: 'RangeError', message: `${'x'.repeat(16 * 1_024 - 1)}…` });
    expect(error?.stack).toHaveLength(16 * 1_024);
    const refused = await on.until(on.web.add(checked.echo, message), 'failed');
    expect(refused.error?.message).toHaveLength(16 * 1_024);
  });

  it('counts the work as its own, under the ids that the tasks were added with', async () => {
    const settled = new Promise((resolve) =>
      worker.on('settled', (outcome) => outcome.name === 'local.echo' && resolve(outcome)),
    );
    const before = worker.stats().settled;
    const { id } = on.web.add(localTasks.echo, 1);
    expect(await settled).toMatchObject({ id, state: 'completed', executor: 'event-loop', value: [1] });
    expect(worker.stats().settled).toBeGreaterThan(before);
  });

  it('is what `on` and `off` return, so that calls can be chained', () => {
    const listener = (): void => {};
    expect(worker.on('started', listener).off('started', listener)).toBe(worker);
  });
});

describe('an attempt that the engine makes again', () => {
  const told = async (task: 'fail' | 'timeout', attempts: number) => {
    const { web, work, log, until: untilState } = setting();
    const events: unknown[] = [];
    const errors: unknown[] = [];
    const worker = await work({ onError: (error, outcome) => errors.push([error.message, outcome.attempts]) });
    worker.on('started', ({ attempt }) => events.push(['started', attempt]));
    worker.on('retrying', ({ attempt, delayMs, error }) => events.push(['retrying', attempt, delayMs, error.message]));
    worker.on('settled', (outcome) => events.push([outcome.state, outcome.attempts, outcome.error?.message]));
    const policy = { timeout: task === 'timeout' ? 20 : 30_000, retry: { attempts, delay: 1, jitter: 0, factor: 1 } };
    const list = web.with(policy);
    const handle = task === 'fail' ? list.add(localTasks.fail, 'no', 'EAGAIN') : list.add(localTasks.untilAborted);
    const found = await untilState(handle, 'failed');
    expect(found.attempts).toBe(attempts);
    await worker.idle();
    // On a busy machine it may also be logged that a module takes long to load.
    const lines = log.lines.filter((line) => line.task === handle.name);
    return { events, errors, lines: lines.map(({ level, message }) => [level, message]) };
  };

  it('is reported as an attempt, and only the last as failed', async () => {
    expect(await told('fail', 3)).toEqual({
      events: [
        ['started', 1],
        ['retrying', 1, 1, 'no'],
        ['started', 2],
        ['retrying', 2, 1, 'no'],
        ['started', 3],
        ['failed', 3, 'no'],
      ],
      errors: [['no', 3]],
      lines: [
        ['warn', 'Task local.fail failed, and is tried again in 1 ms: no'],
        ['warn', 'Task local.fail failed, and is tried again in 1 ms: no'],
        ['error', 'Task local.fail failed: no'],
      ],
    });
  });

  it('may be one that ran for too long', async () => {
    const message = 'Task local.untilAborted ran longer than its timeout of 20 ms.';
    expect(await told('timeout', 2)).toEqual({
      events: [
        ['started', 1],
        ['retrying', 1, 1, message],
        ['started', 2],
        ['timed-out', 2, message],
      ],
      errors: [[message, 2]],
      lines: [
        ['warn', `Task local.untilAborted failed, and is tried again in 1 ms: ${message}`],
        ['error', message],
      ],
    });
  });

  it('is not counted by `close`: the task has not failed', async () => {
    const { web, work } = setting();
    const worker = await work();
    const started = new Promise<void>((resolve) => worker.on('started', () => resolve()));
    web.with({ timeout: 20, retry: { attempts: 2 } }).add(localTasks.untilAborted);
    await started;
    expect(await worker.close()).toEqual({ completed: 0, failed: 0, abandoned: [] });
  });
});

describe('a name that no worker knows', () => {
  it('is put back for others, and not tried: a module, an export, what every object has, a path, or of a later version', async () => {
    const { engine, work, log, until: untilState } = setting();
    const unknown = [
      ...['unheard.of', 'tasks.unheardOf', 'tasks.constructor', '../../etc/passwd'].map((task) => ({ task })),
      { task: 'tasks.echo', v: 2 },
    ];
    const all = await Promise.all(unknown.map((envelope) => stage(engine, envelope)));
    await work();
    await until(
      async () => log.withCode('ERR_BACKGROUND_UNKNOWN_TASK'),
      (lines) =>
        unknown.every(({ task }) => lines.some((line) => line.level === 'warn' && line.message.includes(`'${task}'`))),
    );
    // An operator looks for it by its name, as long as it looks like one.
    expect(new Set(log.withCode('ERR_BACKGROUND_UNKNOWN_TASK').map(({ task }) => task))).toEqual(
      new Set(['unheard.of', 'tasks.unheardOf', 'tasks.constructor', "'../../etc/passwd'", 'tasks.echo']),
    );
    for (const task of all) expect(await untilState(task, 'waiting')).toMatchObject({ attempts: 0 });
  });

  it('has one line in the log, however many tasks have it', async () => {
    const { engine, work, log } = setting();
    for (let count = 0; count < 5; count += 1) await stage(engine, { task: 'unheard.of' });
    await stage(engine, { task: 'unheard.ofAtLast' });
    await work({ concurrency: 1 });
    const lines = await log.until('ERR_BACKGROUND_UNKNOWN_TASK', 2);
    expect(lines.map(({ task }) => task)).toEqual(['unheard.of', 'unheard.ofAtLast']);
  });

  it('shares one line a minute with all others of which there are too many: anybody who can write to the broker can make up new ones', async () => {
    const log = openLogBook();
    const hand = await handingTo({ logger: log.logger });
    const names = Array.from({ length: 1_100 }, (_, index) => `forged.name${index}`);
    for (const task of names) await hand({ task });
    const told = (): unknown[] => log.withCode('ERR_BACKGROUND_UNKNOWN_TASK').map(({ task }) => task);
    expect(told()).toEqual(names.slice(0, 1_001));
    later(60_000);
    for (const task of names.slice(1_090)) await hand({ task });
    expect(told()).toEqual([...names.slice(0, 1_001), ...names.slice(1_090)]);
  });

  it('has one line with those that look the same in the log', async () => {
    const log = openLogBook();
    const hand = await handingTo({ logger: log.logger });
    for (const end of ['a', 'b']) await hand({ task: `${'x'.repeat(500)}${end}` });
    expect(log.withCode('ERR_BACKGROUND_UNKNOWN_TASK')).toHaveLength(1);
  });

  it('is quoted and shortened in the log: anybody who can write to the broker can choose it', async () => {
    const { engine, work, log } = setting();
    await stage(engine, { task: `forged\n${'x'.repeat(10_000)}` });
    await work();
    const [line] = await log.until('ERR_BACKGROUND_UNKNOWN_TASK');
    for (const text of [line?.message, line?.task]) {
      expect(text).toMatch(/^(Task )?'forged\\nx+'\.\.\. 9907 more characters/);
      expect(text?.length).toBeLessThan(500);
    }
  });

  it.each([
    ['knows no time', Number.NaN],
    ['has a time far ahead', Date.now() + 1e12],
  ])('is kept as failed where the engine %s at which it was staged', async (_what, stagedAt) => {
    const hand = await handingTo({});
    expect(await hand({ task: 'unheard.of' }, { stagedAt })).toMatchObject({
      kind: 'failed',
      error: { code: 'ERR_BACKGROUND_UNKNOWN_TASK' },
      retry: false,
    });
  });

  it('is kept as failed when it has been unknown for too long', async () => {
    const { engine, work, until: untilState } = setting();
    const unknown = await stage(engine, { task: 'unheard.of' });
    await work({ unknownFor: 0 });
    expect(await untilState(unknown, 'failed')).toMatchObject({ error: { code: 'ERR_BACKGROUND_UNKNOWN_TASK' } });
  });
});

describe('a task that fails for good without having been run', () => {
  it.each<[string, object, Partial<WorkerOptions>, string, string]>([
    [
      'its arguments do not pass',
      { task: 'checked.echo', args: ['one'] },
      {},
      'ERR_BACKGROUND_ARGUMENTS',
      'event-loop',
    ],
    ['no worker has known it', { task: 'unheard.of' }, { unknownFor: 0 }, 'ERR_BACKGROUND_UNKNOWN_TASK', 'engine'],
  ])('is an error in the log and for `onError`: %s', async (_why, envelope, options, code, executor) => {
    const { engine, work, log } = setting();
    const told = makeGate<[Error, Outcome]>();
    const { id } = await stage(engine, envelope);
    await work({ ...options, onError: (error, outcome) => told.open([error, outcome]) });
    const [error, outcome] = await told.opened;
    expect(error).toMatchObject({ code });
    expect(outcome).toMatchObject({ id, executor, state: 'failed', attempts: 0, ranMs: 0, error });
    expect(outcome.waitedMs).toBeGreaterThanOrEqual(0);
    expect(log.withCode(code)).toMatchObject([
      { level: 'error', message: `Task ${outcome.name} failed: ${error.message}` },
    ]);
  });

  it('says how often it had been started before, as by a worker that knew it', async () => {
    const [outcomes, lines]: [Outcome[], object[]] = [[], []];
    const logger = { ...openLogBook().logger, error: (_message: string, fields: object) => lines.push(fields) };
    const hand = await handingTo({ logger, onError: (_error, outcome) => outcomes.push(outcome) });
    await hand({ task: 'checked.echo', args: ['one'] }, { attempt: 3 });
    expect(outcomes).toMatchObject([{ attempts: 2 }]);
    expect(lines).toMatchObject([{ task: 'checked.echo', attempt: 3, ranMs: 0 }]);
  });

  it('has its own name for `onError`, whatever that is, and a quoted one in the log', async () => {
    const [names, log]: [string[], LogBook] = [[], openLogBook()];
    const onError: WorkerOptions['onError'] = (_error, { name }) => names.push(name);
    const hand = await handingTo({ unknownFor: 0, logger: log.logger, onError });
    await hand({ task: 'mail.größe' });
    expect(names).toEqual(['mail.größe']);
    expect(log.lines.map(({ task, message }) => [task, message.slice(0, 25)])).toEqual([
      ["'mail.größe'", "Task 'mail.größe' failed:"],
    ]);
  });

  it('is answered with also where the error by which `parse` refused it cannot be read any more', async () => {
    const log = openLogBook();
    const hand = await handingTo({ logger: log.logger });
    const refusal = { kind: 'failed', retry: false, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } };
    expect(await hand({ task: 'checked.spinForEver' })).toMatchObject(refusal);
    expect(log.lines.map(({ message }) => message)).toEqual([
      'Expected the error of task checked.spinForEver not to throw: read before',
    ]);
  });

  it('is answered with also where its own error cannot be read any more', async () => {
    const hand = await handingTo({});
    expect(await hand({ task: 'local.failReadableOnce' })).toMatchObject({
      kind: 'failed',
      error: { message: 'Expected the error of a task not to throw: read before' },
    });
  });
});

describe('`close`', () => {
  it('waits for what runs, and fetches no more', async () => {
    const { web, work, until: untilState } = setting();
    const worker = await work({ concurrency: 1 });
    const first = web.with({ retry: { attempts: 1 } }).add(localTasks.untilAborted);
    const second = web.add(localTasks.echo, 2);
    await untilState(first, 'running');
    const closing = worker.close({ timeout: 100 });
    const { abandoned } = await closing;
    expect(abandoned.map(({ id }) => id)).toEqual([first.id]);
    expect(abandoned[0]?.error?.message).toMatch(/It was given back to the engine, and runs elsewhere\.$/);
    // Given back: no attempt was counted, and the next worker has it at once.
    expect(await web.find(first.id)).toMatchObject({ state: 'waiting', attempts: 0 });
    expect(await web.find(second.id)).toMatchObject({ state: 'waiting', attempts: 0 });
    await work({ concurrency: 2 });
    await untilState(second, 'completed');
    await untilState(first, 'running');
  });
});

describe('`createWorker`', () => {
  it('waits for an engine that cannot be reached, and says so', async () => {
    const engine = memoryEngine();
    let attempts = 0;
    const { logger, lines } = openLogBook();
    const worker = await createWorker({
      logger,
      engine: engine.connect({
        async intercept(method, proceed) {
          if (method === 'start') attempts += 1;
          if (method === 'start' && attempts < 3) throw new Error('connection refused');
          return proceed();
        },
      }),
    });
    atEnd(() => worker.close({ timeout: 0 }));
    expect(attempts).toBe(3);
    expect(lines.map(({ message }) => message)).toContain('The engine memory: connection refused');
  });

  it("says why where the names of a module's functions are too long a result for a worker to send", async () => {
    const limits = { maxResultSize: 10 };
    const starting = createWorker({ engine: memoryEngine(), logger: false, pool: limits, processes: limits });
    await expect(starting).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_REGISTRY',
      message: expect.stringMatching(/^Expected the module registered as \w+ to load in a worker: .*`maxResultSize`/),
    });
  });

  it.each<[string, unknown, string]>([
    ['no options', undefined, 'Expected `engine` of createWorker() to be given.'],
    ['options that are none', null, 'Expected the options of createWorker() to be an object, got null'],
    ['an engine that is none', { engine: 'redis' }, 'Expected `engine` of createWorker() to be an engine'],
    ['an option that there is not', { thread: 1 }, '`thread` is not an option of createWorker(). The options are '],
    ['a misspelt option', { concurency: 8 }, 'Did you mean `concurrency`?'],
    [
      'no concurrency',
      { concurrency: 0 },
      'Expected `concurrency` of createWorker() to be a safe integer of at least 1',
    ],
    [
      'a span that is none',
      { unknownFor: -1 },
      'Expected `unknownFor` of createWorker() to be a number of milliseconds',
    ],
    [
      'sizes that contradict',
      { pool: { minThreads: 3, maxThreads: 2 } },
      'Expected `pool.minThreads` of createWorker()',
    ],
    [
      'sizes of the process pool that contradict',
      { processes: { minProcesses: 3, maxProcesses: 2 } },
      'Expected `processes.minProcesses` of createWorker()',
    ],
  ])('refuses %s', async (_name, options, message) => {
    await expect(createWorker(withEngine(options) as WorkerOptions)).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_OPTION',
      message: expect.stringContaining(message),
    });
  });

  it.each(['mode', 'order', 'when', 'timeout', 'retry', 'context', 'ambient', 'durable', 'work'])(
    'refuses what only says how tasks are added, since a worker adds none: %s',
    async (name) => {
      const refusal = createWorker(withEngine({ [name]: undefined }) as WorkerOptions);
      await expect(refusal).rejects.toMatchObject({
        code: 'ERR_BACKGROUND_OPTION',
        message: `\`${name}\` is not an option of createWorker(). The options are ${optionNames.worker.join(', ')}.`,
      });
    },
  );
});

describe('`durable`', () => {
  it.each(['', '1st', 'a.b', 'a b', '__proto__', `a${'b'.repeat(64)}`, 7 as never])('refuses %p as a name', (name) => {
    expect(() => durable(name, fixture('durable-tasks.cjs'))).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_REGISTRY' }),
    );
  });

  it('refuses a name that stands for another module, or for the same one elsewhere', () => {
    expect(() => durable('tasks', fixture('durable-tasks.cjs'), { executor: 'process' })).toThrow(
      expect.objectContaining({
        code: 'ERR_BACKGROUND_REGISTRY',
        message: expect.stringContaining("for 'process' after 'thread'"),
      }),
    );
    expect(() => durable('tasks', fixture('arithmetic.cjs'))).toThrow(
      expect.objectContaining({
        code: 'ERR_BACKGROUND_REGISTRY',
        message: expect.stringContaining('Expected the name tasks to stand for one module'),
      }),
    );
  });

  it('gives no task for names that are read from every object: by promises, JSON and the interplay of modules', async () => {
    const { work } = setting();
    const asked = durable<typeof durableTasks>('asked', fixture('durable-tasks.cjs'));
    expect(await asked).toBe(asked);
    expect(JSON.stringify({ asked })).toBe('{"asked":{}}');
    expect((asked as { __esModule?: unknown }).__esModule).toBeUndefined();
    expect((await work()).tasks).toContain('asked.echo');
  });

  it('gives tasks for the other functions of a module that exports one of those names', async () => {
    const { work } = setting();
    durable('helped', fixture('module-with-helpers.cjs'));
    expect((await work()).tasks.filter((name) => name.startsWith('helped'))).toEqual(['helped.run']);
  });

  it.each<[string, object, string]>([
    ['a name', { name: 'other' }, '`name` is not an option of durable()'],
    ['an executor that there is not', { executor: 'engine' }, '`executor` of durable()'],
    ['a parser that is none', { parse: { echo: 'number' } }, '`parse` of durable() to be an object of functions'],
  ])('refuses %s', (_name, options, message) => {
    expect(() => durable('refused', fixture('durable-tasks.cjs'), options)).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_OPTION', message: expect.stringContaining(message) }),
    );
  });
});
