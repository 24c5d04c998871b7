/** From what a user wrote to what the package runs by: checked, completed by the defaults, frozen. */
import { availableParallelism } from 'node:os';
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
  oneOf,
  type Rules,
} from './option-rules.ts';
import type {
  BackgroundTasksOptions,
  BlockingTaskOptions,
  Mode,
  Order,
  PoolOptions,
  ProcessOptions,
  ResourceLimits,
  RetryOptions,
  TaskOptions,
  WatchdogOptions,
} from './options.ts';
import { DEFAULT_POLICY, mergePolicy, type Policy } from './policy.ts';
import { LONGEST_TIMER, SECOND } from './timers.ts';

const PRIORITY_LIMIT = 100;
const NICEST = 19;
const LONGEST_HISTORY = 1_000_000;
/** A machine that does other things as well is late by that much now and then. */
const SHORTEST_THRESHOLD = 20;

const milliseconds = (minimum: number) =>
  aNumber(`a number of milliseconds from ${minimum} to ${LONGEST_TIMER}`, minimum, LONGEST_TIMER);
const forever = oneOf(Number.POSITIVE_INFINITY);
const when = either(oneOf('always', 'success', 'failure'), aFunction);

const retryRules: Rules<RetryOptions> = {
  attempts: anInteger('an integer of at least 1', 1),
  delay: milliseconds(0),
  factor: aNumber('a finite number of at least 1', 1),
  maxDelay: milliseconds(0),
  jitter: aNumber('a number from 0 to 1', 0, 1),
  retryIf: aFunction,
};

const taskRules: Rules<TaskOptions> = {
  name: aString,
  when,
  timeout: either(milliseconds(1), forever),
  retry: anObjectOf(retryRules),
  priority: anInteger(`an integer from -${PRIORITY_LIMIT} to ${PRIORITY_LIMIT}`, -PRIORITY_LIMIT, PRIORITY_LIMIT),
};

const blockingRules: Rules<BlockingTaskOptions> = { ...taskRules, executor: oneOf('thread', 'process') };

const megabytes = aNumber('a positive number of megabytes', Number.MIN_VALUE);

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

const atLeastNone = anInteger('an integer of at least 0', 0);
const atLeastOne = anInteger('an integer of at least 1', 1);

/** What threads and processes have in common. */
const workerRules = {
  idleTimeout: either(milliseconds(0), forever),
  maxResultSize: either(anInteger('an integer of at least 1', 1), forever),
  niceIncrement: anInteger(`an integer from 0 to ${NICEST}`, 0, NICEST),
  execArgv: { expected: 'an array of strings', accepts: isArrayOfStrings },
  env: { expected: 'an object of strings', accepts: isObjectOfStrings },
  argv: { expected: 'an array of strings', accepts: isArrayOfStrings },
};

const heapRules = { maxOldGenerationSizeMb: megabytes, maxYoungGenerationSizeMb: megabytes };

const poolRules: Rules<PoolOptions> = {
  minThreads: atLeastNone,
  maxThreads: atLeastOne,
  batch: aBoolean,
  resourceLimits: anObjectOf<ResourceLimits>({ ...heapRules, codeRangeSizeMb: megabytes, stackSizeMb: megabytes }),
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

const rules: Rules<BackgroundTasksOptions> = {
  pool: anObjectOf(poolRules, REFUSED_POOL_OPTIONS),
  processes: anObjectOf(processRules),
  order: oneOf('sequential', 'parallel'),
  when,
  timeout: taskRules.timeout,
  retry: taskRules.retry,
  maxBacklog: anInteger('an integer of at least 1', 1),
  history: anInteger(`an integer from 0 to ${LONGEST_HISTORY}`, 0, LONGEST_HISTORY),
  logger: {
    expected: 'false, or an object with the methods error, warn, info and debug',
    accepts: (value) => value === false || hasLoggerMethods(value),
  },
  logArguments: aBoolean,
  onError: aFunction,
  ambient: aBoolean,
  context: aFunction,
  watchdog: either(aBoolean, anObjectOf(watchdogRules)),
  mode: oneOf('run', 'inline', 'record'),
};

function isArrayOfStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isObjectOfStrings(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry) => entry === undefined || typeof entry === 'string');
}

function hasLoggerMethods(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return ['error', 'warn', 'info', 'debug'].every(
    (level) => typeof (value as Record<string, unknown>)[level] === 'function',
  );
}

/** The names of every option, for the test that holds docs/options.md against them. */
export const optionNames: Readonly<
  Record<'middleware' | 'pool' | 'processes' | 'watchdog' | 'task' | 'retry', readonly string[]>
> = {
  watchdog: Object.keys(watchdogRules),
  middleware: Object.keys(rules),
  pool: Object.keys(poolRules),
  processes: Object.keys(processRules),
  task: Object.keys(blockingRules),
  retry: Object.keys(retryRules),
};

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
  readonly mode: Mode;
}

/** How the event loop is watched. */
export type ResolvedWatchdogOptions = Complete<WatchdogOptions, 'threshold' | 'stacks'>;

const DEFAULT_MAX_BACKLOG = 10_000;
const DEFAULT_HISTORY = 1_000;
const DEFAULT_IDLE_TIMEOUT = 30 * SECOND;
const DEFAULT_MAX_RESULT_SIZE = 64 * 2 ** 20;
const DEFAULT_NICE_INCREMENT = 10;

/** Checks the options of `backgroundTasks` and fills in what they leave out. */
export function resolveOptions(options: BackgroundTasksOptions = {}): ResolvedOptions {
  const given = check(options, rules, 'backgroundTasks()');
  return Object.freeze({
    pool: resolvePool(given.pool ?? {}),
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
    mode: given.mode ?? 'run',
  });
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
  const rule = anInteger(`an integer up to ${max} (${most})`, 0, most);
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

/** Checks what `with` or `defineTask` was given, and keeps a copy that nobody can change. */
export function resolveTaskOptions(options: TaskOptions, place: string): TaskOptions {
  return frozenCopy(check(options, taskRules, place));
}

/** The same for `blocking`. */
export function resolveBlockingOptions(options: BlockingTaskOptions): BlockingTaskOptions {
  return frozenCopy(check(options, blockingRules, 'blocking()'));
}

function frozenCopy<Options extends TaskOptions>(options: Options): Options {
  const { retry } = options;
  return Object.freeze({ ...options, ...(retry === undefined ? {} : { retry: Object.freeze({ ...retry }) }) });
}
