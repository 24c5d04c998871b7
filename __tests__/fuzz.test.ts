import { createRequire } from 'node:module';
import { inspect, isDeepStrictEqual } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  BackgroundTaskError,
  type BackgroundTasks,
  backgroundTasks,
  blocking,
  move,
  type Outcome,
  type Task,
  type TaskHandle,
  type TaskOptions,
} from 'express-background-tasks';
import fc from 'fast-check';
import { fixture } from './support/fixtures.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';

expectNoProcessFaults();

const EXECUTORS = ['event-loop', 'thread', 'process'] as const;
type ExecutorName = (typeof EXECUTORS)[number];

const file = fixture('fuzz-tasks.cjs');
type AnyTask = Task<unknown[]>;
const TASKS: Readonly<Record<ExecutorName, Readonly<Record<string, AnyTask>>>> = {
  'event-loop': createRequire(import.meta.url)('./fixtures/fuzz-tasks.cjs'),
  thread: blocking<Record<string, (...args: unknown[]) => unknown>>(file),
  process: blocking<Record<string, (...args: unknown[]) => unknown>>(file, { executor: 'process' }),
};
const taskOf = (executor: ExecutorName, name: string): AnyTask => TASKS[executor][name] as AnyTask;

/** In milliseconds: anything that takes longer counts as hanging. */
const LIMIT = 10_000;
const TEST_TIMEOUT = 60_000;
/** For each property: on a slow machine it stops before its number of runs. */
const TIME = 4_000;
const settings = (numRuns: number) => ({
  numRuns,
  interruptAfterTimeLimit: TIME,
  markInterruptAsFailure: false,
  endOnFailure: true,
});

let background: BackgroundTasks;
const logged: string[] = [];

beforeAll(async () => {
  // As an operator's logger would, it reads all that it is given.
  const write = (...line: unknown[]): void => void logged.push(inspect(line, { depth: 5 }));
  const logger = { error: write, warn: write, info: write, debug: write };
  background = backgroundTasks({ logger, timeout: LIMIT, pool: { maxThreads: 1 }, processes: { maxProcesses: 1 } });
  // Warm, so that the time of the first property is not spent on starts.
  await Promise.all(EXECUTORS.map((executor) => settle(background.add(taskOf(executor, 'echo')))));
}, TEST_TIMEOUT);

afterAll(async () => {
  const { abandoned } = await background.close({ timeout: LIMIT });
  expect(abandoned).toEqual([]);
  const { added, settled, outcomes } = background.stats();
  expect(settled).toBe(added);
  // A property that is interrupted does not fail: a task that hangs must not hide behind that.
  expect(outcomes['timed-out']).toBe(0);
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
}, TEST_TIMEOUT);

/** The outcome; fails if there is none. */
async function settle({ settled }: TaskHandle): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the task has not settled')), 2 * LIMIT);
  });
  try {
    return await Promise.race([settled, late]);
  } finally {
    clearTimeout(timer);
  }
}

const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  maxDepth: 3,
});

const trap = (): never => {
  throw new Error('a trap');
};
const circle = (): unknown => {
  const value: Record<string, unknown> = { name: 'circle' };
  value['self'] = value;
  return value;
};
class Session {
  #secret = 1;
  user = 'ada';
  reveal = (): number => this.#secret;
}
class Point {
  x = 1;
}
const revoked = (): unknown => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const deep = (): unknown => {
  let value: unknown = 'the bottom';
  for (let level = 0; level < 500; level += 1) value = { value };
  return value;
};

/** Made again for each run: some can be used only once. */
const EXOTIC: readonly (() => unknown)[] = [
  () => () => {},
  () => Symbol('exotic'),
  () => Promise.resolve(1),
  () => new WeakMap(),
  circle,
  deep,
  revoked,
  () => new Proxy({}, { get: trap, ownKeys: trap }),
  () => new Proxy([], { getPrototypeOf: trap, getOwnPropertyDescriptor: trap }),
  () => Object.defineProperty({}, 'trap', { enumerable: true, get: trap }),
  () => ({ nested: { method() {} } }),
  () => new Session(),
  () => new Point(),
  () => new Error('an argument', { cause: new TypeError('its cause') }),
  () => new AggregateError([new Error('one')], 'several'),
  () => Buffer.from('text'),
  () => move(new Uint8Array([1, 2, 3])),
  () => new DataView(new ArrayBuffer(8), 2, 4),
  () => /odd\/(?<name>x)/giu,
  () => Object.assign([1, 2], { extra: 3 }),
  () => JSON.parse('{ "__proto__": { "polluted": true }, "constructor": { "prototype": { "polluted": true } } }'),
  () => new (class extends Map<number, number> {})([[1, 2]]),
  // biome-ignore lint/suspicious/noThenProperty: it is the case.
  () => ({ then: 'no function' }),
];

const argument = fc.oneof(
  { weight: 3, arbitrary: anything.map((value) => () => value) },
  { weight: 2, arbitrary: fc.constantFrom(...EXOTIC) },
);

const CLONES: Readonly<Record<'thread' | 'process', (value: unknown) => unknown>> = {
  thread: (value) => structuredClone(value),
  process: (value) => deserialize(serialize(value)),
};

function cloned(executor: 'thread' | 'process', args: readonly unknown[]): unknown[] | undefined {
  try {
    return args.map((arg) => CLONES[executor](arg));
  } catch {
    return undefined;
  }
}

/** Copies both once more, in the same way: jest's objects are of another realm than values that have crossed. */
function areEqual(left: unknown, right: unknown): boolean {
  return isDeepStrictEqual(deserialize(serialize(left)), deserialize(serialize(right)));
}

describe('arguments, whatever they are', () => {
  it.each(['thread', 'process'] as const)(
    'are refused by add in the handler, or arrive in a %s as their clone',
    async (executor) => {
      await fc.assert(
        fc.asyncProperty(fc.array(argument, { maxLength: 3 }), async (makers) => {
          const args = makers.map((make) => make());
          const expected = cloned(executor, args);
          let handle: TaskHandle;
          try {
            handle = background.add(taskOf(executor, 'echo'), ...args);
          } catch (error) {
            expect(error).toMatchObject({ code: 'ERR_BACKGROUND_NOT_CLONEABLE' });
            expect(expected).toBeUndefined();
            return;
          }
          expect(expected).toBeDefined();
          const { state, value, error } = await settle(handle);
          expect({ state, error }).toEqual({ state: 'completed', error: undefined });
          expect(areEqual(value, expected)).toBe(true);
        }),
        settings(300),
      );
    },
    TEST_TIMEOUT,
  );

  it('are the very same on the event loop', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(argument, { maxLength: 3 }), async (makers) => {
        const args = makers.map((make) => make());
        const outcome = await settle(background.add(taskOf('event-loop', 'echo'), ...args));
        expect(outcome.state).toBe('completed');
        const received = outcome.value as unknown[];
        expect(received.length).toBe(args.length);
        expect(args.every((arg, index) => Object.is(arg, received[index]))).toBe(true);
      }),
      settings(300),
    );
  });
});

/** Something to throw or return, as a worker is told to build it. */
interface Description {
  readonly kind: string;
  readonly [field: string]: unknown;
}

const plainValue = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.bigInt(), fc.constantFrom(undefined, Number.NaN, -0));
// No `then`: one that never calls back is a task that never ends.
const ODD_NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'stack', 'message', 'errors', 'toJSON'];
const key = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom(...ODD_NAMES));
const TRAPS = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor', 'apply'] as const;

const { thing } = fc.letrec<{ thing: Description; error: Description }>((tie) => ({
  thing: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'thing' },
    fc.record({ kind: fc.constant('value'), value: plainValue }),
    tie('error'),
    fc.constantFrom(
      ...['revoked', 'function', 'tagged', 'unprintable', 'weak', 'port', 'shared'].map((kind) => ({ kind })),
    ),
    fc.record({ kind: fc.constantFrom('foreign', 'imitation'), message: fc.string() }),
    fc.record(
      { kind: fc.constant('branded'), code: tie('thing'), isGetter: fc.boolean() },
      { requiredKeys: ['kind', 'isGetter'] },
    ),
    fc.record({ kind: fc.constant('symbol'), text: fc.string() }),
    fc.record({ kind: fc.constant('ring'), length: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ kind: fc.constant('deep'), depth: fc.integer({ min: 1, max: 2_000 }) }),
    fc.record({ kind: fc.constant('bare'), value: plainValue }),
    fc.record({ kind: fc.constant('aggregate'), errors: fc.array(tie('thing'), { maxLength: 3 }) }),
    fc.record({ kind: fc.constant('holder'), of: tie('thing') }),
    fc.record({ kind: fc.constant('proxy'), of: tie('thing'), traps: fc.subarray([...TRAPS]) }),
  ) as fc.Arbitrary<Description>,
  error: fc.record(
    {
      kind: fc.constant('error'),
      base: fc.constantFrom('Error', 'TypeError', 'RangeError', 'SyntaxError', 'URIError', 'EvalError'),
      message: fc.string(),
      properties: fc.array(fc.tuple(key, tie('thing')), { maxLength: 3 }),
      getters: fc.uniqueArray(fc.oneof(key, fc.constantFrom('name', 'code', 'cause')), { maxLength: 2 }),
      isFrozen: fc.boolean(),
      name: tie('thing'),
      code: tie('thing'),
      cause: tie('thing'),
    },
    { requiredKeys: ['kind', 'base', 'message', 'properties', 'getters', 'isFrozen'] },
  ) as fc.Arbitrary<Description>,
}));

/** Everything that is read of an error later. */
function read(error: Error | undefined): void {
  expect(typeof error?.name).toBe('string');
  expect(typeof error?.message).toBe('string');
  for (const property of ['stack', 'code', 'cause']) Reflect.get(error as Error, property);
}

describe('whatever is thrown', () => {
  it.each(EXECUTORS)(
    'fails its task on the executor %s with an error that can be read',
    async (executor) => {
      // On the event loop an error in a timer belongs to no task: Node ends the process for it.
      const ways = ['throwIt', 'rejectWithIt', ...(executor === 'event-loop' ? [] : ['throwItInTimer'])];
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...ways), thing, async (way, description) => {
          const { state, error } = await settle(background.add(taskOf(executor, way), description));
          expect(state).toBe('failed');
          read(error);
        }),
        settings(300),
      );
    },
    TEST_TIMEOUT,
  );

  it.each(['thread', 'process'] as const)(
    'keeps name, message, code and cause on its way from a %s, where they are plain',
    async (executor) => {
      const text = fc.string({ maxLength: 12 });
      await fc.assert(
        fc.asyncProperty(text, text, text, plainValue, text, async (message, name, code, detail, cause) => {
          const description = {
            kind: 'error',
            base: 'RangeError',
            message,
            name: { kind: 'value', value: name },
            code: { kind: 'value', value: code },
            properties: [['detail', { kind: 'value', value: detail }]],
            cause: { kind: 'value', value: cause },
            getters: [],
            isFrozen: false,
          };
          const { error } = await settle(background.add(taskOf(executor, 'throwIt'), description));
          const { detail: arrived, ...rest } = error as Error & { detail: unknown; code: unknown };
          expect({ ...rest, name: error?.name, message: error?.message, cause: error?.cause }).toEqual({
            name,
            message,
            code,
            cause,
          });
          expect(areEqual(arrived, detail)).toBe(true);
        }),
        settings(120),
      );
    },
    TEST_TIMEOUT,
  );

  it.each(['thread', 'process'] as const)(
    'does no harm as a rejection that was left behind in a %s',
    async (executor) => {
      await fc.assert(
        fc.asyncProperty(thing, async (description) => {
          const left = await settle(background.add(taskOf(executor, 'leaveItRejected'), description));
          // Node reports it before the task has settled, and the task fails, or afterwards.
          expect(['completed', 'failed']).toContain(left.state);
          const next = await settle(background.add(taskOf(executor, 'echo'), 'next'));
          expect(next).toMatchObject({ state: 'completed', value: ['next'] });
        }),
        settings(120),
      );
    },
    TEST_TIMEOUT,
  );
});

/** Values that can be serialized on one side, but not deserialized on the other. */
const RESULTS_THAT_DO_NOT_ARRIVE: [Description][] = [
  [{ kind: 'ring', length: 1 }],
  [{ kind: 'ring', length: 3 }],
  [{ kind: 'deep', depth: 2_000 }],
];

describe('whatever is returned', () => {
  it.each(EXECUTORS)(
    'completes its task on the executor %s, as it is or as undefined',
    async (executor) => {
      await fc.assert(
        fc.asyncProperty(thing, async (description) => {
          const outcome = await settle(background.add(taskOf(executor, 'returnIt'), description));
          // A promise reads the `then` of the value that it is given, and a trap may throw there.
          if (outcome.state === 'failed') read(outcome.error);
          else expect(outcome.state).toBe('completed');
          if (description.kind === 'value') expect(areEqual(outcome.value, description['value'])).toBe(true);
        }),
        { ...settings(300), examples: RESULTS_THAT_DO_NOT_ARRIVE },
      );
    },
    TEST_TIMEOUT,
  );
});

/** Half of them are valid. */
const mixed = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 4, arbitrary: good }, { weight: 1, arbitrary: anything });

const taskOptions = fc.record(
  {
    name: mixed(fc.oneof(fc.string({ minLength: 1, maxLength: 12 }), fc.constantFrom(...ODD_NAMES))),
    when: mixed(fc.constantFrom('always', 'success', 'failure', trap)),
    // None that is too short for a slow machine.
    timeout: mixed(
      fc.oneof(fc.integer({ min: LIMIT, max: 2 ** 31 - 1 }), fc.constant(Number.POSITIVE_INFINITY)),
    ).filter((value) => typeof value !== 'number' || !(value > 0 && value < LIMIT)),
    priority: mixed(fc.integer({ min: -100, max: 100 })),
    retry: mixed(
      fc.record(
        {
          attempts: fc.integer({ min: 1, max: 3 }),
          delay: fc.integer({ min: 0, max: 3 }),
          factor: fc.double({ min: 1, max: 3, noNaN: true }),
          maxDelay: fc.integer({ min: 0, max: 5 }),
          jitter: fc.double({ min: 0, max: 1, noNaN: true }),
          retryIf: fc.constantFrom(
            trap,
            () => true,
            () => false,
            () => 'perhaps',
          ),
        },
        { requiredKeys: ['delay', 'maxDelay'] },
      ),
    ),
  },
  { requiredKeys: [] },
);

describe('options, whatever they are', () => {
  it.each(EXECUTORS)(
    'are refused with their code, or the task settles on the executor %s within its attempts',
    async (executor) => {
      await fc.assert(
        fc.asyncProperty(taskOptions, fc.boolean(), async (options, fails) => {
          const adder = attempt(() => background.with(options as TaskOptions));
          if (adder === undefined) return;
          const outcome = await settle(adder.add(taskOf(executor, fails ? 'failOften' : 'echo'), 'E_FAIL'));
          expect(outcome.state).toBe(fails ? 'failed' : 'completed');
          const { attempts = 1 } = (options.retry ?? {}) as { attempts?: number };
          expect(outcome.attempts).toBeGreaterThanOrEqual(1);
          expect(outcome.attempts).toBeLessThanOrEqual(attempts);
          if (options.name !== undefined) expect(outcome.name).toBe(options.name);
        }),
        settings(150),
      );
    },
    TEST_TIMEOUT,
  );

  it('make an instance that can be closed, or none', async () => {
    const NAMES = ['pool', 'processes', 'order', 'when', 'timeout', 'retry', 'maxBacklog', 'history', 'logger'];
    const MORE = ['logArguments', 'onError', 'ambient', 'context', 'mode', 'timout', '__proto__'];
    const entry = fc.tuple(fc.constantFrom(...NAMES, ...MORE), fc.oneof(anything, fc.constantFrom({}, trap, false, 1)));
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 3 }), async (entries) => {
        const instance = attempt(() => backgroundTasks({ logger: false, ...Object.fromEntries(entries) }));
        expect(await instance?.close({ timeout: 0 })).toEqual(
          instance === undefined ? undefined : { completed: 0, failed: 0, abandoned: [] },
        );
      }),
      settings(300),
    );
  });
});

/** What `make` returns, or `undefined` if it refuses an option as it should. */
function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    expect(error).toBeInstanceOf(BackgroundTaskError);
    expect((error as BackgroundTaskError).code).toBe('ERR_BACKGROUND_OPTION');
    return undefined;
  }
}
