/** From what a user wrote to what the package runs by: checked, completed by the defaults, frozen. */
import { availableParallelism } from 'node:os';
import type { TaskEngine } from './durable/engine.ts';
import { BackgroundTaskError } from './errors.ts';
import type { Logger } from './log.ts';
import {
  aBoolean,
  aFunction,
  aNumber,
  anInteger,
  anObjectOf,
  aString,
  check,
  either,
  milliseconds,
  oneOf,
  type Rule,
  type Rules,
} from './option-rules.ts';
import type {
  AddOptions,
  BackgroundTasksOptions,
  BlockingTaskOptions,
  DurableOptions,
  DurableTaskOptions,
  Mode,
  Order,
  PoolOptions,
  ProcessOptions,
  ResourceLimits,
  RetryOptions,
  TaskOptions,
  WatchdogOptions,
  WorkOptions,
} from './options.ts';
import { DEFAULT_POLICY, mergePolicy, type Policy } from './policy.ts';
import { SECOND } from './timers.ts';

const PRIORITY_LIMIT = 100;
const NICEST = 19;
const LONGEST_HISTORY = 1_000_000;
/** A machine that does other things as well is late by that much now and then. */
const SHORTEST_THRESHOLD = 20;

const forever = oneOf(Number.POSITIVE_INFINITY);
const when = either(oneOf('always', 'success', 'failure'), aFunction);

const retryRules: Rules<RetryOptions> = {
  attempts: anInteger({ from: 1 }),
  delay: milliseconds(0),
  factor: aNumber({ from: 1 }),
  maxDelay: milliseconds(0),
  jitter: aNumber({ from: 0, to: 1 }),
  retryIf: aFunction,
};

const taskRules: Rules<TaskOptions> = {
  name: aString,
  when,
  timeout: either(milliseconds(1), forever),
  retry: anObjectOf(retryRules),
  priority: anInteger({ from: -PRIORITY_LIMIT, to: PRIORITY_LIMIT }),
};

const addRules: Rules<AddOptions> = {
  ...taskRules,
  transaction: {
    expected: "your database's client",
    accepts: (value) => (typeof value === 'object' || typeof value === 'function') && value !== null,
  },
};

const blockingRules: Rules<BlockingTaskOptions> = { ...taskRules, executor: oneOf('thread', 'process') };

const { name: _, ...nameless } = taskRules;
const durableTaskRules: Rules<DurableTaskOptions> = {
  ...nameless,
  executor: oneOf('thread', 'process', 'event-loop'),
  parse: {
    expected: 'an object of functions',
    accepts: (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((one) => typeof one === 'function'),
  },
};

const megabytes: Rule = {
  expected: 'a positive, finite number of megabytes',
  accepts: (value) => Number.isFinite(value) && (value as number) > 0,
};

/** Piscina's options that would break the contract, and why. */
const REFUSED_POOL_OPTIONS: Readonly<Record<string, string>> = {
  maxQueue: "what waits for a thread waits in the package's own queue: use `maxBacklog`",
  concurrentTasksPerWorker: 'a thread runs one task at a time, so that ending it harms no other',
  filename: 'a task names its own module: use `blocking(url)`',
  name: 'a task names its own export: use `blocking(url)`',
  taskQueue: "what waits for a thread waits in the package's own queue: use `priority`",
  atomics: 'timers and sockets in a thread would stand still between tasks',
  closeTimeout: 'use `close({ timeout })`',
  workerData: 'pass arguments to `add`, or use `context`',
  loadBalancer: 'a task goes to whichever thread is free',
  stricterFIFO: 'tasks of one priority always start in the order added',
  recordTiming: 'use `stats()`',
  workerHistogram: 'use `stats()`',
  trackUnmanagedFds: 'files that a thread left open are always closed when it ends',
};

const atLeastNone = anInteger({ from: 0 });
const atLeastOne = anInteger({ from: 1 });

/** What threads and processes have in common. */
const workerRules = {
  idleTimeout: either(milliseconds(0), forever),
  maxResultSize: either(atLeastOne, forever),
  niceIncrement: anInteger({ from: 0, to: NICEST }),
  execArgv: { expected: 'an array of strings', accepts: isArrayOfStrings },
  env: { expected: 'an object of strings', accepts: isObjectOfStrings },
  argv: { expected: 'an array of strings', accepts: isArrayOfStrings },
};

const heapRules = { maxOldGenerationSizeMb: megabytes, maxYoungGenerationSizeMb: megabytes };

const poolLimitRules: Rules<ResourceLimits> = { ...heapRules, codeRangeSizeMb: megabytes, stackSizeMb: megabytes };

const poolRules: Rules<PoolOptions> = {
  minThreads: atLeastNone,
  maxThreads: atLeastOne,
  batch: aBoolean,
  resourceLimits: anObjectOf(poolLimitRules),
  ...workerRules,
};

const processRules: Rules<ProcessOptions> = {
  minProcesses: atLeastNone,
  maxProcesses: atLeastOne,
  resourceLimits: anObjectOf<NonNullable<ProcessOptions['resourceLimits']>>(heapRules),
  ...workerRules,
};

const watchdogRules: Rules<WatchdogOptions> = {
  threshold: milliseconds(SHORTEST_THRESHOLD),
  stacks: aBoolean,
};

const durableRules: Rules<DurableOptions> = {
  hold: milliseconds(1),
  acceptTimeout: milliseconds(1),
  maxArgumentsSize: atLeastOne,
};

const workRules: Rules<WorkOptions> = { concurrency: atLeastOne, unknownFor: milliseconds(0) };

/** Every method of an engine, for telling one from what is none. */
const ENGINE_METHODS: readonly (keyof TaskEngine)[] = [
  'start',
  'stage',
  'release',
  'discard',
  'work',
  'find',
  'stats',
  'close',
];

const rules: Rules<BackgroundTasksOptions> = {
  pool: anObjectOf(poolRules, REFUSED_POOL_OPTIONS),
  processes: anObjectOf(processRules),
  order: oneOf('sequential', 'parallel'),
  when,
  timeout: taskRules.timeout,
  retry: taskRules.retry,
  maxBacklog: atLeastOne,
  history: anInteger({ from: 0, to: LONGEST_HISTORY }),
  logger: {
    expected: 'false, or an object with the methods error, warn, info and debug',
    accepts: (value) => value === false || hasMethods(value, ['error', 'warn', 'info', 'debug']),
  },
  logArguments: aBoolean,
  onError: aFunction,
  ambient: aBoolean,
  context: aFunction,
  watchdog: either(aBoolean, anObjectOf(watchdogRules)),
  engine: {
    expected: 'an engine, such as bullmq(…) or pgBoss(…)',
    accepts: (value) => hasMethods(value, ENGINE_METHODS),
  },
  durable: anObjectOf(durableRules),
  work: either(aBoolean, anObjectOf(workRules)),
  mode: oneOf('run', 'inline', 'record'),
};

function isArrayOfStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isObjectOfStrings(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry) => entry === undefined || typeof entry === 'string');
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

/** The names of every option, for the tests that hold docs/options.md, and what they try, against them. */
export const optionNames = {
  watchdog: Object.keys(watchdogRules),
  durable: Object.keys(durableRules),
  work: Object.keys(workRules),
  durableTask: Object.keys(durableTaskRules),
  middleware: Object.keys(rules),
  pool: Object.keys(poolRules),
  poolLimits: Object.keys(poolLimitRules),
  processes: Object.keys(processRules),
  processLimits: Object.keys(heapRules),
  definedTask: Object.keys(taskRules),
  addedTask: Object.keys(addRules),
  task: Object.keys(blockingRules),
  retry: Object.keys(retryRules),
} satisfies Readonly<Record<string, readonly string[]>>;

/** What the thread pool is built from; nothing with a default in it is optional. */
export type ResolvedPoolOptions = Complete<
  PoolOptions,
  'minThreads' | 'maxThreads' | 'batch' | 'idleTimeout' | 'maxResultSize' | 'niceIncrement'
>;

/** The same for the process pool. */
export type ResolvedProcessOptions = Complete<
  ProcessOptions,
  'minProcesses' | 'maxProcesses' | 'idleTimeout' | 'maxResultSize' | 'niceIncrement'
>;

type Complete<Options, WithDefault extends keyof Options> = Required<Omit<Options, WithDefault>> & {
  readonly [Name in WithDefault]-?: NonNullable<Options[Name]>;
};

/** What an instance runs by: checked, complete and frozen. */
export interface ResolvedOptions {
  readonly pool: ResolvedPoolOptions;
  readonly processes: ResolvedProcessOptions;
  readonly order: Order;
  readonly policy: Policy;
  readonly maxBacklog: number;
  readonly history: number;
  readonly logger: Logger | false | undefined;
  readonly logArguments: boolean;
  readonly onError: BackgroundTasksOptions['onError'];
  readonly ambient: boolean;
  readonly context: BackgroundTasksOptions['context'];
  /** `undefined` where nobody watches. */
  readonly watchdog: ResolvedWatchdogOptions | undefined;
  readonly engine: TaskEngine | undefined;
  readonly durable: ResolvedDurableOptions;
  /** `undefined` where this process only adds. */
  readonly work: ResolvedWorkOptions | undefined;
  readonly mode: Mode;
}

/** How durable tasks are handed over, and by which policy: a task that was worth keeping is worth another attempt. */
export interface ResolvedDurableOptions
  extends Complete<DurableOptions, 'hold' | 'acceptTimeout' | 'maxArgumentsSize'> {
  readonly policy: Policy;
}

export type ResolvedWorkOptions = Complete<WorkOptions, 'concurrency' | 'unknownFor'>;

/** How the event loop is watched. */
export type ResolvedWatchdogOptions = Complete<WatchdogOptions, 'threshold' | 'stacks'>;

const DEFAULT_MAX_BACKLOG = 10_000;
const DEFAULT_HISTORY = 1_000;
const DEFAULT_IDLE_TIMEOUT = 30 * SECOND;
const DEFAULT_MAX_RESULT_SIZE = 64 * 2 ** 20;
const DEFAULT_NICE_INCREMENT = 10;
const DEFAULT_HOLD = 60 * SECOND;
const DEFAULT_ACCEPT_TIMEOUT = 5 * SECOND;
const DEFAULT_MAX_ARGUMENTS_SIZE = 256 * 2 ** 10;
const DEFAULT_UNKNOWN_FOR = 24 * 60 * 60 * SECOND;
const DURABLE_ATTEMPTS = 3;

/** Checks the options of `backgroundTasks` and fills in what they leave out. */
export function resolveOptions(options: BackgroundTasksOptions = {}): ResolvedOptions {
  const given = check(options, rules, 'backgroundTasks()');
  const pool = resolvePool(given.pool ?? {});
  return Object.freeze({
    pool,
    processes: resolveProcesses(given.processes ?? {}),
    order: given.order ?? 'sequential',
    policy: mergePolicy(DEFAULT_POLICY, given),
    maxBacklog: given.maxBacklog ?? DEFAULT_MAX_BACKLOG,
    history: given.history ?? DEFAULT_HISTORY,
    logger: given.logger,
    logArguments: given.logArguments ?? false,
    onError: given.onError,
    ambient: given.ambient ?? false,
    context: given.context,
    watchdog: given.mode === undefined || given.mode === 'run' ? resolveWatchdog(given.watchdog) : undefined,
    engine: given.engine,
    durable: resolveDurable(given),
    work: resolveWork(given, pool),
    mode: given.mode ?? 'run',
  });
}

function resolveDurable(given: BackgroundTasksOptions): ResolvedDurableOptions {
  const { hold = DEFAULT_HOLD, acceptTimeout = DEFAULT_ACCEPT_TIMEOUT } = given.durable ?? {};
  const { maxArgumentsSize = DEFAULT_MAX_ARGUMENTS_SIZE } = given.durable ?? {};
  check({ hold }, { hold: longEnough(acceptTimeout) }, 'backgroundTasks()', 'durable.');
  const policy = mergePolicy(mergePolicy(DEFAULT_POLICY, { retry: { attempts: DURABLE_ATTEMPTS } }), given);
  return Object.freeze({ hold, acceptTimeout, maxArgumentsSize, policy });
}

/** A task may be accepted as late as that, and the last quarter of a hold is left alone. */
function longEnough(acceptTimeout: number): Rule {
  return {
    expected: `at least twice acceptTimeout (${acceptTimeout}), so that a task can be released before its hold is over`,
    accepts: (hold) => (hold as number) >= 2 * acceptTimeout,
  };
}

function resolveWork(
  { work = false, engine }: BackgroundTasksOptions,
  { maxThreads }: ResolvedPoolOptions,
): ResolvedWorkOptions | undefined {
  if (work === false) return undefined;
  if (engine === undefined) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_OPTION',
      'Expected `engine` of backgroundTasks() to be given where `work` is: it is the engine whose tasks are run.',
    );
  }
  const { concurrency = maxThreads, unknownFor = DEFAULT_UNKNOWN_FOR } = work === true ? {} : work;
  return Object.freeze({ concurrency, unknownFor });
}

const DEFAULT_THRESHOLD = 50;
/** For those who did not ask for it. */
const LIGHT_THRESHOLD = 100;
/** Where it is off by default: production, and tests, whose runners compile modules in the middle of everything. */
const UNWATCHED = new Set(['production', 'test']);

function resolveWatchdog(given: BackgroundTasksOptions['watchdog']): ResolvedWatchdogOptions | undefined {
  if (given === false) return undefined;
  if (given === undefined && UNWATCHED.has(process.env['NODE_ENV'] ?? '')) return undefined;
  const { threshold = given === undefined ? LIGHT_THRESHOLD : DEFAULT_THRESHOLD, stacks = true } =
    typeof given === 'object' ? given : {};
  return Object.freeze({ threshold, stacks });
}

function resolvePool(pool: PoolOptions): ResolvedPoolOptions {
  const [minThreads, maxThreads] = resolveSize(pool, 'minThreads', 'maxThreads', 'pool.');
  const { resourceLimits, batch = true } = pool;
  return Object.freeze({ minThreads, maxThreads, batch, resourceLimits, ...resolveWorkers(pool) });
}

function resolveProcesses(processes: ProcessOptions): ResolvedProcessOptions {
  const [minProcesses, maxProcesses] = resolveSize(processes, 'minProcesses', 'maxProcesses', 'processes.');
  const { resourceLimits } = processes;
  return Object.freeze({ minProcesses, maxProcesses, resourceLimits, ...resolveWorkers(processes) });
}

function resolveSize<Min extends string, Max extends string>(
  options: { readonly [Name in Min | Max]?: number | undefined },
  min: Min,
  max: Max,
  path: string,
): [min: number, max: number] {
  const least: number = options[min] ?? 0;
  const most: number = options[max] ?? Math.max(least, availableParallelism() - 1, 1);
  const rule = { expected: `an integer up to ${max} (${most})`, accepts: () => least <= most };
  check({ [min]: least }, { [min]: rule }, 'backgroundTasks()', path);
  return [least, most];
}

function resolveWorkers({
  idleTimeout,
  maxResultSize,
  niceIncrement,
  execArgv,
  env,
  argv,
}: Omit<PoolOptions, 'resourceLimits' | 'batch'>) {
  return {
    idleTimeout: idleTimeout ?? DEFAULT_IDLE_TIMEOUT,
    maxResultSize: maxResultSize ?? DEFAULT_MAX_RESULT_SIZE,
    niceIncrement: niceIncrement ?? DEFAULT_NICE_INCREMENT,
    execArgv,
    env,
    argv,
  };
}

/** Checks what `defineTask` was given, and keeps a copy that nobody can change. */
export function resolveTaskOptions(options: TaskOptions, place: string): TaskOptions {
  return frozenCopy(check(options, taskRules, place));
}

/** The same for `blocking`. */
export function resolveBlockingOptions(options: BlockingTaskOptions): BlockingTaskOptions {
  return frozenCopy(check(options, blockingRules, 'blocking()'));
}

/** The same for `durable`. */
export function resolveDurableOptions<Module>(options: DurableTaskOptions<Module>): DurableTaskOptions<Module> {
  return frozenCopy(check(options as DurableTaskOptions, durableTaskRules, 'durable()')) as DurableTaskOptions<Module>;
}

/** The same for `with`. */
export function resolveAddOptions(options: AddOptions): AddOptions {
  return frozenCopy(check(options, addRules, 'with()'));
}

function frozenCopy<Options extends Pick<TaskOptions, 'retry'>>(options: Options): Options {
  const { retry } = options;
  return Object.freeze({ ...options, ...(retry === undefined ? {} : { retry: Object.freeze({ ...retry }) }) });
}
