/** What SECURITY.md promises about values that cross, log lines, the environment and results. */
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { runInThisContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  type BlockingTask,
  backgroundTasks,
  blocking,
  type Logger,
  type Outcome,
  type Task,
  type TaskHandle,
  type TaskList,
  type TaskOptions,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { bareHttp, serve } from './support/servers.ts';

expectNoProcessFaults();

const url = fixture('security-tasks.cjs');

interface Fixture {
  readonly makeHostile: () => unknown;
  readonly factsOf: (hostile: unknown) => Facts;
  readonly pollution: () => string[];
  readonly deep: Readonly<Record<string, () => unknown>>;
}
type Facts = Readonly<Record<string, { own: string; inherits: string; polluted: unknown }>>;
type AnyTask = (...args: unknown[]) => unknown;

const here = createRequire(import.meta.url)('./fixtures/security-tasks.cjs') as Fixture & Record<string, AnyTask>;

const CLOSE_TIMEOUT = 500;
const WORKER_KINDS = ['thread', 'process'] as const;
const OPTION_OF = { thread: 'pool', process: 'processes' } as const;
type WorkerKind = (typeof WORKER_KINDS)[number];

const tasksOf = (executor: WorkerKind): Record<string, BlockingTask<unknown[], unknown>> =>
  blocking<Record<string, AnyTask>>(url, { executor }) as Record<string, BlockingTask<unknown[], unknown>>;

/** One instance with one worker for all tests of a `describe`. */
function share(options: BackgroundTasksOptions = {}): () => BackgroundTasks {
  let background: BackgroundTasks;
  beforeAll(() => {
    background = backgroundTasks({
      logger: false,
      pool: { maxThreads: 1 },
      processes: { maxProcesses: 1 },
      ...options,
    });
  });
  afterAll(() => background.close({ timeout: CLOSE_TIMEOUT }));
  return () => background;
}

async function resultOf(handle: TaskHandle): Promise<unknown> {
  const outcome = await handle.settled;
  expect(outcome).toMatchObject({ state: 'completed' });
  return outcome.value;
}

/** Asks a server whose handler does this, and resolves to what it returned. */
async function inHandler<T>(background: BackgroundTasks, handle: (tasks: TaskList) => T): Promise<T> {
  let returned: T | undefined;
  const listener = bareHttp.listener([background], (_req, res) => {
    returned = handle(res.locals.backgroundTasks);
    res.end();
  });
  const response = await fetch(`http://127.0.0.1:${await serve(listener)}`);
  expect(response.status).toBe(200);
  return returned as T;
}

describe.each(WORKER_KINDS)('values with the names of prototypes that go to a %s and back', (executor) => {
  const tasks = tasksOf(executor);
  const shared = share({ context: here.makeHostile });

  const inherits = (name: string, own = 'data') => ({ own, inherits: name, polluted: undefined });
  const plain = inherits('Object');
  const EXPECTED: Facts = {
    ...{ plain, still: plain, key: plain, value: plain, named: plain, member: plain, cause: plain },
    // Its class is lost.
    instance: plain,
    list: inherits('Array'),
    // Of an error, only what every error has.
    error: inherits('TypeError', 'absent'),
  };

  /** Jest's realm is not the one that values from elsewhere are made in. */
  const OTHER_PROTOTYPES = runInThisContext('[Object, Array, Map, Set, Error]').map((one: () => void) => one.prototype);

  async function expectNoPollution(): Promise<void> {
    expect(await resultOf(shared().add(tasks['pollution'] as Task))).toEqual([]);
    expect(here.pollution()).toEqual([]);
    for (const prototype of OTHER_PROTOTYPES) expect('polluted' in prototype).toBe(false);
  }

  it('are data as arguments', async () => {
    const facts = await resultOf(shared().add(tasks['lookAtArgument'] as Task<[unknown]>, here.makeHostile()));
    expect(facts).toEqual(EXPECTED);
    await expectNoPollution();
  });

  it('are data in the context', async () => {
    const handle = await inHandler(shared(), (list) => list.add(tasks['lookAtContext'] as Task));
    expect(await resultOf(handle)).toEqual(EXPECTED);
    await expectNoPollution();
  });

  it('are data in a result', async () => {
    expect(here.factsOf(await resultOf(shared().add(tasks['makeHostile'] as Task)))).toEqual(EXPECTED);
    await expectNoPollution();
  });

  it('are data when they are thrown', async () => {
    const { state, error } = await shared().add(tasks['throwHostile'] as Task).settled;
    expect(state).toBe('failed');
    const { cause } = error as { cause: { polluted?: unknown } };
    expect(Object.keys(cause)).toEqual(['__proto__', 'constructor', 'prototype']);
    expect(cause.polluted).toBeUndefined();
    await expectNoPollution();
  });
});

describe.each(WORKER_KINDS)('what a task in a %s throws', (executor) => {
  const shared = share({ timeout: 20_000 });

  it('takes along no more than 1,000 errors, also where it holds itself many times at every level', async () => {
    const { state, error } = await shared().add(tasksOf(executor)['throwCrowd'] as Task<[number]>, 10).settled;
    expect(state).toBe('failed');
    const count = (one: unknown): number =>
      1 + (one instanceof AggregateError ? one.errors.reduce((sum: number, inner) => sum + count(inner), 0) : 0);
    expect(count(error)).toBe(1_000);
  });
});

describe.each(WORKER_KINDS)('what came with a request, and goes to a %s,', (executor) => {
  const tasks = tasksOf(executor);
  const shared = share();

  it.each([
    ['an order to stop', { cancel: 'x', attempt: 1, reason: { kind: 'value', value: 1 } }],
    ['an order to run', { id: 'x', name: 'x', attempt: 1, module: url.href, export: 'exit', args: [], context: {} }],
    ['a batch', { batch: [{ id: 'x', module: url.href, export: 'exit', args: [] }] }],
    ['an answer', { kind: 'error', error: { kind: 'value', value: 1 } }],
    ['a written answer', { kind: 'written', bytes: new Uint8Array(3) }],
    ['news of a process', { 'express-background-tasks.reply': { kind: 'ready' } }],
    ['the first message of a thread', { 'express-background-tasks.hello': true, port: null }],
    ["one of Node's own messages", { cmd: 'NODE_HANDLE', type: 'net.Socket' }],
  ])('is not taken for a message of the package: %s', async (_what, message) => {
    expect(await resultOf(shared().add(tasks['echo'] as Task<[unknown]>, message))).toEqual(message);
    expect(await resultOf(shared().add(tasks['echo'] as Task<[unknown]>, 'again'))).toBe('again');
  });

  if (executor === 'thread') {
    it('is not taken for the first message of a thread where a task posts it', async () => {
      const forged = { 'express-background-tasks.hello': true, port: null };
      expect(await resultOf(shared().add(tasks['post'] as Task<[unknown]>, forged))).toBe('posted');
      expect(await resultOf(shared().add(tasks['echo'] as Task<[unknown]>, 'again'))).toBe('again');
    });
  }

  it.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__', 'default'])(
    'chooses no function where it is the name of an export: %s',
    async (name) => {
      const { state, error } = await shared().add(tasks[name] as Task).settled;
      expect({ state, code: (error as { code?: unknown }).code }).toEqual({
        state: 'failed',
        code: 'ERR_BACKGROUND_EXPORT',
      });
    },
  );

  it('is no task, however much it looks like one', () => {
    const { module, name } = tasks['exit'] as BlockingTask;
    const parsed = JSON.parse(JSON.stringify({ name, module, export: 'exit', definition: { executor } }));
    expect(() => shared().add(parsed)).toThrow(expect.objectContaining({ code: 'ERR_BACKGROUND_TASK' }));
  });
});

describe.each(['event-loop', ...WORKER_KINDS] as const)('what is logged of tasks on the executor %s', (executor) => {
  const SECRET = 'swordfish';
  const ARGS = [SECRET, { deep: { inside: SECRET } }, new Map([[SECRET, SECRET]]), `prefix ${SECRET} suffix`];
  const isInWorker = executor !== 'event-loop';
  const tasks = isInWorker ? tasksOf(executor) : here;

  interface Plan {
    readonly name: string;
    readonly task: string;
    readonly options?: TaskOptions;
    readonly state: Outcome['state'];
    /** A part of its log line, to identify it. */
    readonly says: string;
  }

  /** Every outcome that a task can have. */
  const ANYWHERE: readonly Plan[] = [
    { name: 'completes', task: 'complete', state: 'completed', says: 'completed' },
    { name: 'fails', task: 'fail', state: 'failed', says: 'failed: as asked' },
    { name: 'throws nothing', task: 'throwNothing', state: 'failed', says: 'ERR_BACKGROUND_NOT_AN_ERROR' },
    {
      name: 'is retried',
      task: 'fail',
      options: { retry: { attempts: 3, delay: 0 } },
      state: 'failed',
      says: 'is tried again',
    },
    { name: 'times out', task: 'hang', options: { timeout: 20 }, state: 'timed-out', says: 'ERR_BACKGROUND_TIMEOUT' },
    { name: 'is cancelled', task: 'hang', state: 'cancelled', says: 'ERR_BACKGROUND_CANCELLED' },
    { name: 'is skipped', task: 'complete', options: { when: 'failure' }, state: 'skipped', says: 'was skipped' },
    {
      name: 'has a bad hook',
      task: 'complete',
      options: { when: fail },
      state: 'failed',
      says: 'ERR_BACKGROUND_HOOK',
    },
    {
      name: 'has another',
      task: 'fail',
      options: { retry: { attempts: 2, retryIf: fail } },
      state: 'failed',
      says: 'as asked',
    },
    { name: 'is abandoned', task: 'hang', state: 'abandoned', says: 'ERR_BACKGROUND_ABANDONED' },
  ];
  const IN_WORKERS: readonly Plan[] = [
    {
      name: 'loses its result',
      task: 'returnWithFunction',
      state: 'completed',
      says: 'ERR_BACKGROUND_RESULT_NOT_CLONEABLE',
    },
    { name: 'throws when it is over', task: 'leaveRejection', state: 'completed', says: 'ERR_BACKGROUND_STRAY' },
    { name: 'ends its worker', task: 'exit', state: 'failed', says: 'EXITED' },
    { name: 'is not exported', task: 'nowhere', state: 'failed', says: 'ERR_BACKGROUND_EXPORT' },
  ];
  // What never ends comes last.
  const plans = isInWorker ? [...IN_WORKERS, ...ANYWHERE] : ANYWHERE;

  function fail(): never {
    throw new Error('a hook');
  }

  /** Runs tasks with every outcome, and resolves to all that a logger was given meanwhile, by the name of the task. */
  async function logOf(options: BackgroundTasksOptions): Promise<{ lines: Map<string, string>; outcomes: Outcome[] }> {
    const lines = new Map<string, string>();
    const write = (...all: unknown[]): void => {
      const name = (all[1] as { task?: string }).task ?? '';
      const text = inspect(all, { depth: null, maxArrayLength: null, maxStringLength: null, showHidden: true });
      lines.set(name, `${lines.get(name) ?? ''}${text}\n`);
    };
    const logger: Logger = { error: write, warn: write, info: write, debug: write };
    const background = makeBackground({
      logger,
      order: 'parallel',
      timeout: Number.POSITIVE_INFINITY,
      context: () => ({ secret: SECRET }),
      onError: fail,
      pool: { maxThreads: 2 },
      processes: { maxProcesses: 2 },
      ...options,
    });
    background.on('settled', fail);
    background.on('started', ({ id, name }) => {
      if (name === 'is cancelled') (background.find(id) as TaskHandle).cancel();
    });

    const handles = await inHandler(background, (list) =>
      plans.map(({ name, task, options: own = {} }) =>
        list.with({ name, ...own }).add(tasks[task] as AnyTask, ...ARGS),
      ),
    );
    const all = handles.map(({ settled }) => settled);
    await Promise.all(all.slice(0, -1));
    await background.close({ timeout: 0 });
    return { lines, outcomes: await Promise.all(all) };
  }

  it('holds no argument, no result and nothing of the context, however they end', async () => {
    const { lines, outcomes } = await logOf({});
    expect(outcomes.map(({ name, state }) => ({ name, state }))).toEqual(
      plans.map(({ name, state }) => ({ name, state })),
    );
    for (const { name, says } of plans) expect(lines.get(name)).toContain(says);
    for (const [name, text] of lines) expect(text.includes(SECRET) ? `${name}: ${text}` : '').toBe('');
  });

  it('holds the arguments where `logArguments` asks for them', async () => {
    const { lines } = await logOf({ logArguments: true });
    for (const { name } of plans) expect(lines.get(name)).toContain(SECRET);
  });

  if (isInWorker) {
    it('the error that `add` throws at an argument that cannot cross holds nothing of it', () => {
      const background = makeBackground();
      const add = (argument: unknown) => () => background.add(tasks['complete'] as AnyTask, 1, argument);
      for (const argument of [
        { secret: SECRET, reveal: () => 1 },
        new Map([[SECRET, Promise.resolve(SECRET)]]),
        new WeakMap([[{}, SECRET]]),
        Object.assign(() => 1, { secret: SECRET }),
        new Proxy({ secret: SECRET }, {}),
        { constructor: { name: SECRET }, deep: here.deep['arrays']?.() },
      ]) {
        expect(add(argument)).toThrow(
          expect.objectContaining({
            code: 'ERR_BACKGROUND_NOT_CLONEABLE',
            message: expect.not.stringContaining(SECRET),
          }),
        );
      }
    });
  }
});

describe.each(WORKER_KINDS)('the environment of a %s', (executor) => {
  const tasks = tasksOf(executor);
  const option = OPTION_OF[executor];
  const variablesWith = async (options: BackgroundTasksOptions): Promise<string[]> =>
    (await resultOf(makeBackground(options).add(tasks['variables'] as Task))) as string[];

  it(`is what \`${option}.env\` says, and nothing else`, async () => {
    expect(await variablesWith({ [option]: { env: { GREETING: 'hello' } } })).toEqual(['GREETING']);
    expect(await variablesWith({ [option]: { env: {} } })).toEqual([]);
  });

  it("is a copy of the server's otherwise, which a task cannot change", async () => {
    const background = makeBackground();
    await background.add(tasks['setVariable'] as Task<unknown[]>, 'SET_BY_A_TASK', 'yes').settled;
    const variables = await resultOf(background.add(tasks['variables'] as Task));
    expect(variables).toEqual(expect.arrayContaining(['PATH']));
    expect(runInThisContext('process.env.SET_BY_A_TASK')).toBeUndefined();
  });
});

describe.each(WORKER_KINDS)('what a task in a %s returns', (executor) => {
  const tasks = tasksOf(executor);
  const lines: string[] = [];
  const write = (message: string): void => void lines.push(message);
  const shared = share({ timeout: 20_000, logger: { error: write, warn: write, info: write, debug: () => {} } });

  /** And the next task finds the server and its only worker as they were. */
  async function outcomeOf(task: string, ...args: unknown[]): Promise<Outcome> {
    lines.length = 0;
    const outcome = await shared().add(tasks[task] as Task<unknown[]>, ...args).settled;
    expect(await resultOf(shared().add(tasks['echo'] as Task<[unknown]>, 'again'))).toBe('again');
    return outcome;
  }

  async function expectLost(task: string, ...args: unknown[]): Promise<void> {
    expect(await outcomeOf(task, ...args)).toMatchObject({ state: 'completed', value: undefined });
    expect(lines).toEqual([expect.stringContaining('Expected the result of task')]);
  }

  it.each(Object.keys(here.deep))(
    'is lost where it is tens of thousands of %s deep, and nothing else is',
    async (kind) => {
      await expectLost('returnDeep', kind);
    },
  );

  it('is lost where it is so deep that it can be written there, but not be read here', async () => {
    // A thread has a larger stack than the server; a process has one like it, and reading takes more of it than writing.
    await expectLost('returnLevels', executor === 'thread' ? 6_000 : 2_700);
  });

  it('is lost alone: tasks that may have gone there in the same message keep what they return', async () => {
    const EVERY = 20;
    const task = tasks['returnSometimesUnreadable'] as Task<[number, number]>;
    const numbers = Array.from({ length: 10 * EVERY }, (_, number) => number);
    // Tasks go together once they have proved to be short.
    for (const number of numbers.slice(0, EVERY - 1)) await shared().add(task, number, EVERY).settled;
    const handles = numbers.map((number) => shared().add(task, number, EVERY));
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes.map(({ state, value }) => [state, value])).toEqual(
      numbers.map((number) => ['completed', number % EVERY === EVERY - 1 ? undefined : number]),
    );
  });

  it.each(['returnProxy', 'returnThrowingGetter', 'returnGetterThatThrowsNull', 'returnGetterWithoutEnd'])(
    'is lost where it cannot be read, and nothing else is: %s',
    async (task) => {
      await expectLost(task);
    },
  );

  it('fails the task where reading it ends the worker', async () => {
    expect(await outcomeOf('returnGetterThatExits')).toMatchObject({
      state: 'failed',
      error: { code: executor === 'thread' ? 'ERR_BACKGROUND_THREAD_EXITED' : 'ERR_BACKGROUND_PROCESS_EXITED' },
    });
  });

  it('is given up where reading it takes longer than the task may run', async () => {
    const task = tasks['returnGetterThatLoops'] as Task;
    expect(await shared().with({ timeout: 50 }).add(task).settled).toMatchObject({ state: 'timed-out' });
    expect(await resultOf(shared().add(tasks['echo'] as Task<[unknown]>, 'again'))).toBe('again');
  });

  it('is lost where it takes more than `maxResultSize`, and counts every reference to a string', async () => {
    const limits = { maxResultSize: 10_000 };
    const background = makeBackground({
      pool: { maxThreads: 1, ...limits },
      processes: { maxProcesses: 1, ...limits },
    });
    const valueOfText = (length: number, times: number): Promise<unknown> =>
      resultOf(background.add(tasks['returnTextOften'] as Task<[number, number]>, length, times));
    expect(await valueOfText(1_000, 9)).toHaveLength(9);
    expect(await valueOfText(1_000, 11)).toBeUndefined();
    expect(await resultOf(background.add(tasks['returnText'] as Task<[number]>, 10_001))).toBeUndefined();
    expect(await resultOf(background.add(tasks['returnBytes'] as Task<[number]>, 10_001))).toBeUndefined();
    expect(await resultOf(background.add(tasks['returnItself'] as Task))).toHaveProperty('name', 'a ring');

    // What crosses of a view inside an object is the whole memory that it shows a part of, in a thread's message only.
    const parts = await resultOf(background.add(tasks['returnPartsOfBytes'] as Task<[number]>, 10_001));
    if (executor === 'thread') expect(parts).toBeUndefined();
    else expect(parts).toHaveLength(2);
    expect(await resultOf(background.add(tasks['returnPartsOfBytes'] as Task<[number]>, 9_000))).toHaveLength(2);
  });

  it('may be a circle', async () => {
    const { value } = await outcomeOf('returnItself');
    const ring = value as { name: string; self: unknown; list: unknown[] };
    expect(ring.name).toBe('a ring');
    expect(ring.self).toBe(ring);
    expect(ring.list[0]).toBe(ring);
  });

  it('may have many megabytes', async () => {
    const SIZE = 16 * 2 ** 20;
    const { value: bytes } = await outcomeOf('returnBytes', SIZE);
    expect((bytes as Uint8Array).length).toBe(SIZE);
    expect((bytes as Uint8Array).at(-1)).toBe('x'.charCodeAt(0));
    expect(((await outcomeOf('returnText', SIZE)).value as string).length).toBe(SIZE);
  });

  it('may be an array with next to nothing in it', async () => {
    expect((await outcomeOf('returnSparse', 1_000_000)).value).toHaveProperty('length', 1_000_000);
  });

  it.each(['objects', 'arrays', 'maps'])('is refused in the handler as an argument: 100,000 %s deep', (kind) => {
    expect(() => shared().add(tasks['echo'] as Task<[unknown]>, here.deep[kind]?.())).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_NOT_CLONEABLE' }),
    );
  });
});
