/** Every wrong option is refused at once, by its name, with what was expected. */
import { describe, expect, it } from '@jest/globals';
import type { NextFunction, Request, Response } from 'express';
import {
  type BackgroundTaskError,
  type BackgroundTasksOptions,
  backgroundTasks,
  blocking,
  defineTask,
  durable,
  type TaskOptions,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { optionNames } from './support/option-names.ts';
import { thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { expresses, serve } from './support/servers.ts';

expectNoProcessFaults();

const moduleUrl = fixture('thread-named.cjs');

const nothing = (): void => {};
const noInteger = ['2', 1.5, Number.NaN, Number.POSITIVE_INFINITY, null, true, {}, [], nothing, 3n];
const noNumber = ['2', Number.NaN, null, true, {}, [], nothing, 3n];
const noFunction = ['f', 1, null, true, {}, []];
const noObject = ['{}', 1, null, true, [], nothing];
const noBoolean = ['yes', 1, null, {}, [], nothing];
const tooLong = 2 ** 31;
const noSpan = [...noNumber, 0, -1, tooLong, Number.POSITIVE_INFINITY];
/** Infinity is one. */
const noSize = [...noInteger.filter((value) => value !== Number.POSITIVE_INFINITY), 0, -1];

/** For each option that a task can have: values that it refuses. */
const wrongTaskOptions: Record<string, readonly unknown[]> = {
  when: ['never', 'Always', '', 1, null, true, {}, []],
  timeout: [...noNumber, 0, -1, tooLong, Number.NEGATIVE_INFINITY],
  retry: noObject,
  'retry.attempts': [...noInteger, 0, -1],
  'retry.delay': [...noNumber, -1, tooLong, Number.POSITIVE_INFINITY],
  'retry.factor': [...noNumber, 0, 0.5, -1, Number.POSITIVE_INFINITY],
  'retry.maxDelay': [...noNumber, -1, tooLong, Number.POSITIVE_INFINITY],
  'retry.jitter': [...noNumber, -0.1, 1.1],
  'retry.retryIf': noFunction,
};

/** The same for options that cannot be set for all tasks at once. */
const wrongOwnOptions: Record<string, readonly unknown[]> = {
  name: ['', 1, null, true, {}, [], nothing, Symbol('name')],
  priority: [...noInteger, -101, 101],
  executor: ['fiber', 'Process', '', 1, null, true, {}, []],
  transaction: ['client', 1, null, true],
  parse: ['schema', 1, null, true, [], [1], { sendInvoice: 'schema' }],
};

const wrongMiddlewareOptions: Record<string, readonly unknown[]> = {
  pool: noObject,
  'pool.minThreads': [...noInteger, -1],
  'pool.maxThreads': [...noInteger, 0, -1],
  'pool.idleTimeout': [...noNumber, -1, tooLong],
  'pool.batch': noBoolean,
  'pool.maxResultSize': noSize,
  'pool.resourceLimits': noObject,
  'pool.resourceLimits.maxOldGenerationSizeMb': [...noNumber, 0, -1],
  'pool.resourceLimits.maxYoungGenerationSizeMb': [...noNumber, 0],
  'pool.resourceLimits.codeRangeSizeMb': [...noNumber, 0],
  'pool.resourceLimits.stackSizeMb': [...noNumber, 0],
  'pool.niceIncrement': [...noInteger, -1, 20],
  'pool.execArgv': ['--import tsx', 1, null, true, {}, [1], nothing],
  'pool.argv': ['--verbose', 1, null, true, {}, [null], nothing],
  'pool.env': ['A=1', 1, null, true, [], { A: 1 }, nothing],
  processes: noObject,
  'processes.minProcesses': [...noInteger, -1],
  'processes.maxProcesses': [...noInteger, 0, -1],
  'processes.idleTimeout': [...noNumber, -1, tooLong],
  'processes.maxResultSize': noSize,
  'processes.resourceLimits': noObject,
  'processes.resourceLimits.maxOldGenerationSizeMb': [...noNumber, 0, -1],
  'processes.resourceLimits.maxYoungGenerationSizeMb': [...noNumber, 0],
  'processes.niceIncrement': [...noInteger, -1, 20],
  'processes.execArgv': ['--import tsx', 1, null, true, {}, [1], nothing],
  'processes.argv': ['--verbose', 1, null, true, {}, [null], nothing],
  'processes.env': ['A=1', 1, null, true, [], { A: 1 }, nothing],
  order: ['random', '', 1, null, true, {}, nothing],
  maxBacklog: [...noInteger, 0, -1],
  history: [...noInteger, -1, 1_000_001],
  logger: [true, null, 'console', 1, {}, [], nothing, { error: nothing, warn: nothing, info: nothing }],
  logArguments: ['yes', 1, null, {}, nothing],
  onError: noFunction,
  ambient: ['yes', 1, null, {}, nothing],
  context: noFunction,
  watchdog: ['on', 1, 50, null, [], nothing],
  'watchdog.threshold': [...noNumber, 0, -1, 19, tooLong, Number.POSITIVE_INFINITY],
  'watchdog.stacks': noBoolean,
  engine: ['redis', 1, null, true, {}, [], nothing, { start: nothing, stage: nothing }],
  durable: noObject,
  'durable.hold': noSpan,
  'durable.acceptTimeout': noSpan,
  'durable.maxArgumentsSize': [...noInteger, 0, -1],
  work: ['yes', 1, null, [], nothing],
  'work.concurrency': [...noInteger, 0, -1],
  'work.unknownFor': [...noNumber, -1, tooLong, Number.POSITIVE_INFINITY],
  mode: ['test', '', 1, null, true, {}],
};

type Case = readonly [option: string, value: unknown];
/** Of the options of these names. */
function casesOf(wrong: Record<string, readonly unknown[]>, names: readonly string[]): Case[] {
  const ofThese = Object.entries(wrong).filter(([option]) => names.includes(option.split('.')[0] as string));
  return ofThese.flatMap(([option, values]) => values.map((value): Case => [option, value]));
}

/** `{ retry: { delay: value } }` for `retry.delay`. */
function optionsWith(path: string, value: unknown): Record<string, unknown> {
  const names = path.split('.').reverse();
  return names.reduce<unknown>((inner, name) => ({ [name]: inner }), value) as Record<string, unknown>;
}

/** Every function that takes options of a task, with the names of those options. */
const places: readonly [string, (options: unknown) => unknown, readonly string[]][] = [
  ['defineTask()', (options) => defineTask(nothing, options as TaskOptions), optionNames.definedTask],
  ['blocking()', (options) => blocking(moduleUrl, options as TaskOptions), optionNames.task],
  ['with()', (options) => makeBackground().with(options as TaskOptions), optionNames.addedTask],
  ['durable()', (options) => durable('tasks', moduleUrl, options as TaskOptions), optionNames.durableTask],
];

const below = (option: string, names: readonly string[]): string[] => names.map((name) => `${option}.${name}`);
const retryOptions = below('retry', optionNames.retry);
const middlewareOptions = [
  ...optionNames.middleware,
  ...retryOptions,
  ...below('pool', optionNames.pool),
  ...below('pool.resourceLimits', optionNames.poolLimits),
  ...below('processes', optionNames.processes),
  ...below('processes.resourceLimits', optionNames.processLimits),
  ...below('watchdog', optionNames.watchdog),
  ...below('durable', optionNames.durable),
  ...below('work', optionNames.work),
];

function expectRefusal(error: BackgroundTaskError, option: string): void {
  expect({ option, code: error.code }).toEqual({ option, code: 'ERR_BACKGROUND_OPTION' });
  expect(error.message).toContain(`\`${option}\``);
  expect(error.message).toMatch(/^Expected .+ to be .+, got /s);
}

describe('an option of the wrong type or out of range', () => {
  const middleware = { ...wrongTaskOptions, ...wrongMiddlewareOptions };

  it('is tried for every option', () => {
    expect(Object.keys(middleware).sort()).toEqual(middlewareOptions.sort());
    const ofTasks = new Set([...places.flatMap(([, , names]) => names), ...retryOptions]);
    expect(Object.keys({ ...wrongTaskOptions, ...wrongOwnOptions }).sort()).toEqual([...ofTasks].sort());
  });

  it.each(Object.keys(middleware))('is refused by backgroundTasks(), by its name: %s', (option) => {
    for (const value of middleware[option] as unknown[]) {
      expectRefusal(
        thrownBy(() => makeBackground(optionsWith(option, value) as BackgroundTasksOptions)),
        option,
      );
    }
  });

  it.each(places)('is refused by %s, by its name', (place, make, names) => {
    for (const [option, value] of casesOf({ ...wrongTaskOptions, ...wrongOwnOptions }, names)) {
      const error = thrownBy(() => make(optionsWith(option, value)));
      expectRefusal(error, option);
      expect(error.message).toContain(place);
    }
  });

  it('is refused by blocking() where it names another executor', () => {
    for (const value of ['event-loop', 'fiber', 'Process', '', 1, null, {}]) {
      expectRefusal(
        thrownBy(() => blocking(moduleUrl, { executor: value } as never)),
        'executor',
      );
    }
    for (const executor of ['thread', 'process', undefined] as const) {
      expect(() => blocking(moduleUrl, { executor })).not.toThrow();
    }
  });

  it('is refused by close(), and nothing is closed', async () => {
    const background = makeBackground();
    for (const timeout of [...noNumber, -1, tooLong]) {
      const closing = background.close({ timeout } as never);
      await expect(closing).rejects.toMatchObject({
        code: 'ERR_BACKGROUND_OPTION',
        message: expect.stringContaining('`timeout` of close()'),
      });
    }
    await expect(background.close(7 as never)).rejects.toMatchObject({ code: 'ERR_BACKGROUND_OPTION' });
    await expect(background.close({ timeuot: 7 } as never)).rejects.toMatchObject({
      message: expect.stringContaining('Did you mean `timeout`?'),
    });
    expect((await background.add(() => 'still open').settled).value).toBe('still open');
  });

  it('is refused where two do not go together', () => {
    const error = thrownBy(() => makeBackground({ pool: { minThreads: 3, maxThreads: 2 } }));
    expectRefusal(error, 'pool.minThreads');
    expect(error.message).toContain('maxThreads (2)');

    const other = thrownBy(() => makeBackground({ processes: { minProcesses: 3, maxProcesses: 2 } }));
    expectRefusal(other, 'processes.minProcesses');
    expect(other.message).toContain('maxProcesses (2)');

    const hold = thrownBy(() => makeBackground({ durable: { hold: 9_999 } }));
    expectRefusal(hold, 'durable.hold');
    expect(hold.message).toContain('at least twice acceptTimeout (5000)');
    expectRefusal(
      thrownBy(() => makeBackground({ durable: { acceptTimeout: 30_001 } })),
      'durable.hold',
    );
    expectRefusal(
      thrownBy(() => makeBackground({ durable: { hold: 1, acceptTimeout: 1 } })),
      'durable.hold',
    );
    expect(() => makeBackground({ durable: { hold: 2, acceptTimeout: 1 } })).not.toThrow();
    expect(() => makeBackground({ durable: { hold: 10_000 } })).not.toThrow();
  });

  it('shows what it was given, whatever that was', () => {
    const trap = (): never => {
      throw new Error('a trap');
    };
    const strange = [
      new Proxy({}, { get: trap, ownKeys: trap, getPrototypeOf: trap }),
      Object.create(null),
      Symbol('s'),
      Object.defineProperty(() => {}, 'name', { value: Symbol('name') }),
    ];
    for (const value of strange)
      expectRefusal(
        thrownBy(() => makeBackground({ order: value as never })),
        'order',
      );
  });
});

describe('what a refusal says of the value', () => {
  it.each([
    ['letters', 'a'],
    ['dots', 'a.'],
    ['colons', 'ab:'],
    ['slashes', '/'],
    ['at signs', 'ab:@'],
  ])('is said at once, however long it is: a request may have sent it, as %s', (_what, part) => {
    const order = part.repeat(300_000 / part.length);
    expect(thrownBy(() => makeBackground({ order: order as never })).message).toContain("'parallel', got '");
  });

  const PASSWORD = 'hunter2';
  const connection = {
    host: 'redis',
    password: PASSWORD,
    sentinelPassword: PASSWORD,
    url: `redis://:${PASSWORD}@redis`,
  };
  const environment = { TOKEN: PASSWORD, N: 1 };
  const to = 'of backgroundTasks() to be';

  it.each<[string, object, string]>([
    ['a number', { order: 1 }, `\`order\` ${to} 'sequential', 'parallel', got 1 (number).`],
    ['a string', { order: 'reverse' }, `\`order\` ${to} 'sequential', 'parallel', got 'reverse' (string).`],
    ['null', { order: null }, `\`order\` ${to} 'sequential', 'parallel', got null.`],
    ['an object', { order: {} }, `\`order\` ${to} 'sequential', 'parallel', got an object.`],
    ['an array', { order: [] }, `\`order\` ${to} 'sequential', 'parallel', got an array.`],
    ['a symbol', { order: Symbol('s') }, `\`order\` ${to} 'sequential', 'parallel', got Symbol(s) (symbol).`],
    ['an entry', { pool: { argv: ['-v', 1] } }, `\`pool.argv\` ${to} an array of strings, got a number at index 1.`],
  ])('names it: %s', (_what, options, message) => {
    expect(thrownBy(() => makeBackground(options)).message).toBe(`Expected ${message}`);
  });

  it.each<[string, object, string]>([
    [
      'an environment',
      { pool: { env: environment } },
      `\`pool.env\` ${to} an object of strings, got a number as \`N\`.`,
    ],
    ['an environment as a string', { processes: { env: PASSWORD } }, 'an object of strings, got a string.'],
    ['an environment as a list', { processes: { env: [PASSWORD] } }, 'an object of strings, got an array.'],
    ['arguments', { pool: { argv: [PASSWORD, null] } }, 'an array of strings, got null at index 1.'],
    ['a connection in the place of an engine', { engine: connection }, 'got an object.'],
    ['a connection inside of another option', { logger: { connection } }, 'got an object.'],
    ['a connection as a URL', { engine: `redis://:${PASSWORD}@redis` }, "got 'redis://…@redis' (string)."],
    [
      'a password in a query',
      { engine: `postgres://db?password=${PASSWORD}&x=1` },
      "got 'postgres://db?password=…&x=1' (string).",
    ],
    [
      'an instance of a class',
      { engine: Object.assign(new (class Redis {})(), connection) },
      'got an object of class Redis.',
    ],
  ])('tells no secret that is in it: %s', (_what, options, message) => {
    const refusal = thrownBy(() => makeBackground({ logger: false, ...options }));
    expect(refusal.message).toContain(message);
    expect(refusal.message).not.toContain(PASSWORD);
  });

  it('tells no secret of options that are none', () => {
    expect(thrownBy(() => backgroundTasks([connection] as never)).message).toBe(
      'Expected the options of backgroundTasks() to be an object, got an array.',
    );
  });
});

describe.each(expresses)('mounted without a call under $name', ({ express }) => {
  it('says so at the first request', async () => {
    const errors: unknown[] = [];
    const app = express();
    app.use(backgroundTasks);
    app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
      errors.push(error);
      res.status(500).end();
    });
    const { status } = await request(await serve(app));
    expect(status).toBe(500);
    expect(errors).toMatchObject([
      {
        code: 'ERR_BACKGROUND_OPTION',
        message:
          'Expected backgroundTasks() to be called where it is mounted, got a request as its options: write app.use(backgroundTasks()).',
      },
    ]);
  });
});

describe('an option that does not exist', () => {
  it.each([
    ['timout', 'timeout'],
    ['Timeout', 'timeout'],
    ['retries', 'retry'],
    ['maxBackLog', 'maxBacklog'],
    ['on_error', 'onError'],
    ['loger', 'logger'],
    ['pools', 'pool'],
    ['process', 'processes'],
    ['watchDog', 'watchdog'],
  ])('is refused by backgroundTasks(), which names the nearest: %s', (written, meant) => {
    const error = thrownBy(() => makeBackground({ [written]: 1 }));
    expect(error.code).toBe('ERR_BACKGROUND_OPTION');
    expect(error.message).toContain(`\`${written}\``);
    expect(error.message).toContain(`Did you mean \`${meant}\`?`);
  });

  it.each([
    [{ pool: { maxThread: 2 } }, 'pool.maxThread', 'pool.maxThreads'],
    [{ pool: { minThread: 2 } }, 'pool.minThread', 'pool.minThreads'],
    [{ processes: { maxProcess: 2 } }, 'processes.maxProcess', 'processes.maxProcesses'],
    [{ watchdog: { treshold: 50 } }, 'watchdog.treshold', 'watchdog.threshold'],
    [{ retry: { attemps: 2 } }, 'retry.attemps', 'retry.attempts'],
    [{ retry: { retryif: nothing } }, 'retry.retryif', 'retry.retryIf'],
    [
      { pool: { resourceLimits: { maxOldGenerationSize: 9 } } },
      'pool.resourceLimits.maxOldGenerationSize',
      'pool.resourceLimits.maxOldGenerationSizeMb',
    ],
  ])('is refused inside another option as well: %j', (options, written, meant) => {
    const { message } = thrownBy(() => makeBackground(options as BackgroundTasksOptions));
    expect(message).toContain(`\`${written}\``);
    expect(message).toContain(`\`${meant}\``);
  });

  it.each([
    ['maxThreads', 'pool.maxThreads'],
    ['maxProcesses', 'processes.maxProcesses'],
    ['attempts', 'retry.attempts'],
    ['resourceLimits', 'pool.resourceLimits'],
  ])('is refused with its place where it is the option of another: %s', (written, meant) => {
    const { message } = thrownBy(() => makeBackground({ [written]: 1 }));
    expect(message).toContain(`\`${written}\` is not an option`);
    expect(message).toContain(`Did you mean \`${meant}\`?`);
  });

  it('is refused with what counts attempts where it counts retries, as in other packages', () => {
    const { message } = thrownBy(() => makeBackground().with({ retry: { retries: 3 } as { attempts?: number } }));
    expect(message).toBe(
      '`retry.retries` is not an option of with(): use `attempts`, which counts the first attempt as well.',
    );
  });

  it.each(places)('is refused by %s', (place, make) => {
    const { code, message } = thrownBy(() => make({ prioritty: 1 }));
    expect(code).toBe('ERR_BACKGROUND_OPTION');
    expect(message).toContain(place);
    expect(message).toContain('`priority`');
  });

  it('is refused with the list of those that do, if none is similar', () => {
    const { message } = thrownBy(() => makeBackground({ zzzzzzzz: 1 } as BackgroundTasksOptions));
    expect(message).toContain('order');
    expect(message).toContain('maxBacklog');
    expect(message).not.toContain('Did you mean');
  });

  it('is refused even where its value is undefined', () => {
    expect(thrownBy(() => makeBackground({ timout: undefined } as BackgroundTasksOptions)).message).toContain(
      'timeout',
    );
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('is refused by the name of %s', (name) => {
    const options = Object.defineProperty({}, name, { value: 1, enumerable: true });
    expect(thrownBy(() => makeBackground(options)).code).toBe('ERR_BACKGROUND_OPTION');
    expect(thrownBy(() => makeBackground({ pool: options })).code).toBe('ERR_BACKGROUND_OPTION');
  });

  it.each([
    ['maxQueue', 'maxBacklog'],
    ['concurrentTasksPerWorker', 'one task at a time'],
    ['filename', 'blocking(url)'],
    ['name', 'blocking(url)'],
    ['taskQueue', 'priority'],
    ['atomics', 'timers'],
    ['closeTimeout', 'close({ timeout })'],
    ['workerData', 'add'],
    ['loadBalancer', 'thread'],
    ['stricterFIFO', 'order'],
    ['recordTiming', 'stats()'],
    ['workerHistogram', 'stats()'],
    ['trackUnmanagedFds', 'closed'],
  ])('is refused with the reason where Piscina would take it: pool.%s', (name, reason) => {
    const { code, message } = thrownBy(() => makeBackground({ pool: { [name]: 1 } }));
    expect(code).toBe('ERR_BACKGROUND_OPTION');
    expect(message).toContain(`\`pool.${name}\``);
    expect(message).toContain(reason);
    expect(message).not.toContain('Did you mean');
  });
});

describe('options that are no object', () => {
  it.each<[string, unknown]>([
    ['null', null],
    ['a string', 'fast'],
    ['a number', 1],
    ['an array', []],
    ['a function', nothing],
    ['true', true],
  ])('are refused everywhere: %s', (_what, options) => {
    for (const [, make] of [
      ['backgroundTasks()', (given: unknown) => backgroundTasks(given as never)] as const,
      ...places,
    ]) {
      expect(thrownBy(() => make(options)).code).toBe('ERR_BACKGROUND_OPTION');
    }
  });
});

describe('options that set nothing', () => {
  const allUndefined = (names: readonly string[]): Record<string, undefined> =>
    Object.fromEntries(names.map((name) => [name, undefined]));
  const silent = (options: object): BackgroundTasksOptions => Object.assign(options, { logger: false as const });

  it.each<[string, () => BackgroundTasksOptions]>([
    ['an empty object', () => silent({})],
    ['an object without a prototype', () => silent(Object.create(null))],
    ['undefined for every option', () => silent(allUndefined(optionNames.middleware))],
    [
      'undefined for every option of an option',
      () =>
        silent({
          pool: { ...allUndefined(optionNames.pool), resourceLimits: allUndefined(optionNames.poolLimits) },
          processes: {
            ...allUndefined(optionNames.processes),
            resourceLimits: allUndefined(optionNames.processLimits),
          },
          durable: allUndefined(optionNames.durable),
          watchdog: allUndefined(optionNames.watchdog),
          retry: allUndefined(optionNames.retry),
        }),
    ],
    ['an instance of a class', () => silent(new (class Settings {})())],
    ['a frozen object', () => Object.freeze(silent({}))],
  ])('are taken for the defaults: %s', async (_what, options) => {
    const background = makeBackground(options());
    const { add } = blocking<{ add(a: number, b: number): number }>(moduleUrl);
    expect(await background.add(() => 'ran').settled).toMatchObject({ state: 'completed', attempts: 1, value: 'ran' });
    expect((await background.add(add, 1, 2).settled).value).toBe(3);
    expect(background.stats().backlog.limit).toBe(10_000);
  });

  it('need not be given at all', async () => {
    const background = backgroundTasks();
    expect((await background.add(() => 'ran').settled).value).toBe('ran');
    await background.close();
  });

  it.each(places)('are taken by %s as well', (_place, make, names) => {
    for (const options of [{}, Object.create(null), allUndefined(names)]) {
      expect(() => make(options)).not.toThrow();
    }
  });

  it('are taken by close()', async () => {
    for (const options of [undefined, {}, Object.create(null), { timeout: undefined }]) {
      expect(await makeBackground().close(options)).toEqual({ completed: 0, failed: 0, abandoned: [] });
    }
  });
});

describe('options at the edge of their range', () => {
  it.each<[string, BackgroundTasksOptions]>([
    ['timeout', { timeout: 1 }],
    ['timeout', { timeout: 2 ** 31 - 1 }],
    ['timeout', { timeout: Number.POSITIVE_INFINITY }],
    ['retry', { retry: { attempts: 1, delay: 0, factor: 1, maxDelay: 0, jitter: 0 } }],
    ['retry', { retry: { jitter: 1, factor: 1.5 } }],
    ['maxBacklog', { maxBacklog: 1 }],
    ['history', { history: 0 }],
    ['idleTimeout', { pool: { idleTimeout: Number.POSITIVE_INFINITY } }],
    ['niceIncrement', { pool: { niceIncrement: 0 } }],
    ['niceIncrement', { pool: { niceIncrement: 19 } }],
    ['maxThreads', { pool: { minThreads: 0, maxThreads: 1 } }],
    ['processes', { processes: { idleTimeout: Number.POSITIVE_INFINITY, niceIncrement: 0, argv: [], env: {} } }],
    ['maxProcesses', { processes: { minProcesses: 0, maxProcesses: 1, niceIncrement: 19 } }],
    ['logger', { logger: console }],
    ['watchdog', { watchdog: { threshold: 20, stacks: false } }],
    ['watchdog', { watchdog: { threshold: 2 ** 31 - 1, stacks: true } }],
    ['watchdog', { watchdog: false }],
    ['env', { pool: { env: {} } }],
  ])('are taken: %s', (_name, options) => {
    expect(() => makeBackground(options)).not.toThrow();
  });

  it('are taken for a task: priority from -100 to 100', () => {
    expect(() => defineTask(nothing, { priority: -100 })).not.toThrow();
    expect(() => defineTask(nothing, { priority: 100 })).not.toThrow();
  });
});
