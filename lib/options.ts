/** The options: their types, their defaults with units, and the way from what a user wrote to what the package runs by. */
import type { ServerResponse } from 'node:http';
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
import type { Outcome, ResponseEnd } from './outcome.ts';

/** How the tasks of one response follow each other. */
export type Order = 'sequential' | 'parallel';

/** After which ends of a response a task runs. */
export type When =
  | 'always'
  | 'success'
  | 'failure'
  | ((end: ResponseEnd & { readonly res: ServerResponse }) => boolean);

/** How the tasks are treated: `run` is the real thing, the others are for tests. */
export type Mode = 'run' | 'inline' | 'record';

/** When a failed task is tried again, and after how long. Each field that is left out comes from the next level. */
export interface RetryOptions {
  /**
   * How often the task is started altogether, the first time included. At least `1`.
   *
   * @default 1 (no retry)
   */
  readonly attempts?: number | undefined;
  /**
   * The wait before the second attempt, in milliseconds. The clock starts when the attempt has failed.
   *
   * @default 1_000
   */
  readonly delay?: number | undefined;
  /**
   * By how much each wait is longer than the one before. At least `1`.
   *
   * @default 2
   */
  readonly factor?: number | undefined;
  /**
   * The longest wait, in milliseconds.
   *
   * @default 30_000
   */
  readonly maxDelay?: number | undefined;
  /**
   * The part of each wait that is left to chance, from `0` (none) to `1` (all of it), so that tasks which failed
   * together do not come back together. It only ever shortens a wait.
   *
   * @default 0.5
   */
  readonly jitter?: number | undefined;
  /**
   * Whether this error is worth another attempt. Errors from threads keep their `name`, `code` and own properties.
   * If it throws, that is logged and the task is not tried again.
   *
   * @default () => true
   * @example
   * retryIf: (error) => error.code === 'ETIMEDOUT'
   */
  // biome-ignore lint/suspicious/noExplicitAny: user code reads `error.code`, which Error does not declare.
  readonly retryIf?: ((error: any) => boolean) | undefined;
}

/** What can be said of one task: in `with`, in `blocking` and in `defineTask`. The nearest wins, in that order. */
export interface TaskOptions {
  /**
   * The name in outcomes, events and logs.
   *
   * @default the function's, or the export's
   */
  readonly name?: string | undefined;
  /**
   * After which ends of the response the task runs: `always`; `success`, fully sent with a status below 400;
   * `failure`, anything else; or a function that is asked when the response has ended. A task that is not run settles
   * as `skipped`. A task without a response runs always.
   *
   * @default 'always'
   */
  readonly when?: When | undefined;
  /**
   * How long one attempt may run before it is ended, or on the event loop given up, as `timed-out`.
   *
   * In milliseconds; `Infinity` for no limit. The clock starts when the attempt starts, not when the task is added.
   * First `currentTask().signal` aborts; a thread that does not heed it is ended and replaced. Code on the event loop
   * that ignores its signal runs on: nothing can end it.
   *
   * @default 30_000
   */
  readonly timeout?: number | undefined;
  /** When a failed attempt is followed by another. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Which of the tasks that wait for a thread goes first: the highest number. Equals go in the order added.
   * An integer from `-100` to `100`. Tasks on the event loop don't wait, so it says nothing to them.
   *
   * @default 0
   */
  readonly priority?: number | undefined;
}

/** What `blocking` takes beside. */
export interface BlockingTaskOptions extends TaskOptions {
  /**
   * Where the module's functions run.
   *
   * @default 'thread'
   */
  readonly executor?: 'thread' | undefined;
}

/** Limits of one thread, as in `node:worker_threads`. In megabytes. They do not count Buffers. */
export interface ResourceLimits {
  readonly maxOldGenerationSizeMb?: number | undefined;
  readonly maxYoungGenerationSizeMb?: number | undefined;
  readonly codeRangeSizeMb?: number | undefined;
  readonly stackSizeMb?: number | undefined;
}

/** The worker threads. The names are Piscina's. */
export interface PoolOptions {
  /**
   * How many threads are kept when there is nothing to do. Above `0` they are started at once; otherwise the first
   * blocking task starts the first thread.
   *
   * @default 0
   */
  readonly minThreads?: number | undefined;
  /**
   * How many threads there may be.
   *
   * @default one less than the machine has cores, at least 1: the event loop keeps a core
   */
  readonly maxThreads?: number | undefined;
  /**
   * How long a thread above `minThreads` may be idle before it is ended, in milliseconds; `Infinity`: never.
   *
   * @default 30_000
   */
  readonly idleTimeout?: number | undefined;
  /** Memory limits of each thread. A task that exceeds them fails with `ERR_BACKGROUND_OUT_OF_MEMORY`. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /**
   * By how much the threads' priority is below the event loop's, from `0` to `19`. Needs the optional package
   * `@napi-rs/nice`; without it, and on systems that know no such thing, threads run at normal priority.
   *
   * @default 10
   */
  readonly niceIncrement?: number | undefined;
  /**
   * Node options for the threads, added to those of the process.
   *
   * @example
   * execArgv: ['--import', 'tsx'] // task modules in TypeScript on Node 20
   */
  readonly execArgv?: readonly string[] | undefined;
  /**
   * The environment of the threads.
   *
   * @default a copy of process.env
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Appended to `process.argv` in the threads. */
  readonly argv?: readonly string[] | undefined;
}

/** The options of `backgroundTasks`. */
export interface BackgroundTasksOptions {
  /** The worker threads. */
  readonly pool?: PoolOptions | undefined;
  /**
   * Whether the tasks of one response run one after the other, or all at once.
   *
   * @default 'sequential'
   */
  readonly order?: Order | undefined;
  /** As in {@link TaskOptions.when}, for every task that does not say otherwise. */
  readonly when?: When | undefined;
  /** As in {@link TaskOptions.timeout}, for every task that does not say otherwise. */
  readonly timeout?: number | undefined;
  /** As in {@link TaskOptions.retry}, for every task that does not say otherwise. */
  readonly retry?: RetryOptions | undefined;
  /**
   * How many tasks may be accepted and not yet settled. At the limit `add` throws `ERR_BACKGROUND_FULL`, which
   * Express answers with 503.
   *
   * @default 10_000
   */
  readonly maxBacklog?: number | undefined;
  /**
   * How many outcomes are kept for `find(id)`, the values that tasks returned among them.
   *
   * @default 1_000
   */
  readonly history?: number | undefined;
  /**
   * Where failures are told: anything with `error`, `warn`, `info` and `debug`; `false` for nothing.
   *
   * @default a winston logger that writes to the console
   */
  readonly logger?: Logger | false | undefined;
  /**
   * Whether log lines carry the arguments of the task. Arguments may be personal data.
   *
   * @default false
   */
  readonly logArguments?: boolean | undefined;
  /** Called once for each task that failed, timed out or was abandoned. What it throws is logged. */
  readonly onError?: ((error: Error, outcome: Outcome) => void) | undefined;
  /**
   * Whether `addBackgroundTask()` works in code that was not handed the response.
   *
   * @default false
   */
  readonly ambient?: boolean | undefined;
  /**
   * Plain values of the request that its tasks can read as `currentTask().context`, in threads as well. Called at each `add`.
   *
   * @example
   * context: (req) => ({ requestId: req.headers['x-request-id'] })
   */
  // biome-ignore lint/suspicious/noExplicitAny: users annotate the request type of their own framework.
  readonly context?: ((req: any) => unknown) | undefined;
  /**
   * `run`: the real thing. `inline`: blocking tasks run in this thread, on clones of their arguments. `record`: tasks
   * are kept and settle as `skipped`. The last two are for tests.
   *
   * @default 'run'
   */
  readonly mode?: Mode | undefined;
}

const MILLISECOND = 1;
const SECOND = 1_000 * MILLISECOND;

/** The longest delay that Node's timers keep; they fire at once for a longer one. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;
const PRIORITY_LIMIT = 100;
const NICEST = 19;

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

const blockingRules: Rules<BlockingTaskOptions> = { ...taskRules, executor: oneOf('thread') };

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

const poolRules: Rules<PoolOptions> = {
  minThreads: anInteger('an integer of at least 0', 0),
  maxThreads: anInteger('an integer of at least 1', 1),
  idleTimeout: either(milliseconds(0), forever),
  resourceLimits: anObjectOf<ResourceLimits>({
    maxOldGenerationSizeMb: megabytes,
    maxYoungGenerationSizeMb: megabytes,
    codeRangeSizeMb: megabytes,
    stackSizeMb: megabytes,
  }),
  niceIncrement: anInteger(`an integer from 0 to ${NICEST}`, 0, NICEST),
  execArgv: { expected: 'an array of strings', accepts: isArrayOfStrings },
  env: { expected: 'an object of strings', accepts: isObjectOfStrings },
  argv: { expected: 'an array of strings', accepts: isArrayOfStrings },
};

const rules: Rules<BackgroundTasksOptions> = {
  pool: anObjectOf(poolRules, REFUSED_POOL_OPTIONS),
  order: oneOf('sequential', 'parallel'),
  when,
  timeout: taskRules.timeout,
  retry: taskRules.retry,
  maxBacklog: anInteger('an integer of at least 1', 1),
  history: anInteger('an integer of at least 0', 0),
  logger: {
    expected: 'false, or an object with the methods error, warn, info and debug',
    accepts: (value) => value === false || hasLoggerMethods(value),
  },
  logArguments: aBoolean,
  onError: aFunction,
  ambient: aBoolean,
  context: aFunction,
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
export const optionNames: Readonly<Record<'middleware' | 'pool' | 'task' | 'retry', readonly string[]>> = {
  middleware: Object.keys(rules),
  pool: Object.keys(poolRules),
  task: Object.keys(blockingRules),
  retry: Object.keys(retryRules),
};

/** How one task is treated, all levels merged: nothing in it is optional. */
export interface Policy {
  readonly when: When;
  readonly timeout: number;
  readonly retry: RetryPolicy;
  readonly priority: number;
}

/** When a failed attempt is followed by another; nothing in it is optional. */
export type RetryPolicy = { readonly [Name in keyof RetryOptions]-?: NonNullable<RetryOptions[Name]> };

/** What the thread pool is built from; nothing with a default in it is optional. */
export type ResolvedPoolOptions = Required<Pick<PoolOptions, 'resourceLimits' | 'execArgv' | 'env' | 'argv'>> & {
  readonly minThreads: number;
  readonly maxThreads: number;
  readonly idleTimeout: number;
  readonly niceIncrement: number;
};

/** What an instance runs by: checked, complete and frozen. */
export interface ResolvedOptions {
  readonly pool: ResolvedPoolOptions;
  readonly order: Order;
  readonly policy: Policy;
  readonly maxBacklog: number;
  readonly history: number;
  readonly logger: Logger | false | undefined;
  readonly logArguments: boolean;
  readonly onError: BackgroundTasksOptions['onError'];
  readonly ambient: boolean;
  readonly context: BackgroundTasksOptions['context'];
  readonly mode: Mode;
}

const DEFAULT_POLICY: Policy = Object.freeze({
  when: 'always',
  timeout: 30 * SECOND,
  retry: Object.freeze({
    attempts: 1,
    delay: 1 * SECOND,
    factor: 2,
    maxDelay: 30 * SECOND,
    jitter: 0.5,
    retryIf: () => true,
  }),
  priority: 0,
});

const DEFAULT_MAX_BACKLOG = 10_000;
const DEFAULT_HISTORY = 1_000;
const DEFAULT_IDLE_TIMEOUT = 30 * SECOND;
const DEFAULT_NICE_INCREMENT = 10;

/** Checks the options of `backgroundTasks` and fills in what they leave out. */
export function resolveOptions(options: BackgroundTasksOptions = {}): ResolvedOptions {
  const given = check(options, rules, 'backgroundTasks()');
  return Object.freeze({
    pool: resolvePool(given.pool ?? {}),
    order: given.order ?? 'sequential',
    policy: mergePolicy(DEFAULT_POLICY, given),
    maxBacklog: given.maxBacklog ?? DEFAULT_MAX_BACKLOG,
    history: given.history ?? DEFAULT_HISTORY,
    logger: given.logger,
    logArguments: given.logArguments ?? false,
    onError: given.onError,
    ambient: given.ambient ?? false,
    context: given.context,
    mode: given.mode ?? 'run',
  });
}

function resolvePool(pool: PoolOptions): ResolvedPoolOptions {
  const minThreads = pool.minThreads ?? 0;
  const maxThreads = pool.maxThreads ?? Math.max(minThreads, availableParallelism() - 1, 1);
  check(
    { minThreads },
    { minThreads: anInteger(`an integer up to maxThreads (${maxThreads})`, 0, maxThreads) },
    'backgroundTasks()',
    'pool.',
  );
  return Object.freeze({
    minThreads,
    maxThreads,
    idleTimeout: pool.idleTimeout ?? DEFAULT_IDLE_TIMEOUT,
    niceIncrement: pool.niceIncrement ?? DEFAULT_NICE_INCREMENT,
    resourceLimits: pool.resourceLimits,
    execArgv: pool.execArgv,
    env: pool.env,
    argv: pool.argv,
  });
}

/** Checks what `with` or `defineTask` was given, and keeps a copy that nobody can change. */
export function resolveTaskOptions(options: TaskOptions, place: string): TaskOptions {
  return Object.freeze({ ...check(options, taskRules, place) });
}

/** The same for `blocking`. */
export function resolveBlockingOptions(options: BlockingTaskOptions): BlockingTaskOptions {
  return Object.freeze({ ...check(options, blockingRules, 'blocking()') });
}

/** A policy with a nearer level laid over it. Fields of `retry` are laid over one by one. */
export function mergePolicy(base: Policy, nearer: Omit<TaskOptions, 'name'>): Policy {
  const { when: nearerWhen, timeout, retry, priority } = nearer;
  if (nearerWhen === undefined && timeout === undefined && retry === undefined && priority === undefined) return base;
  return Object.freeze({
    when: nearerWhen ?? base.when,
    timeout: timeout ?? base.timeout,
    retry: retry === undefined ? base.retry : mergeRetry(base.retry, retry),
    priority: priority ?? base.priority,
  });
}

function mergeRetry(base: RetryPolicy, nearer: RetryOptions): RetryPolicy {
  return Object.freeze({
    attempts: nearer.attempts ?? base.attempts,
    delay: nearer.delay ?? base.delay,
    factor: nearer.factor ?? base.factor,
    maxDelay: nearer.maxDelay ?? base.maxDelay,
    jitter: nearer.jitter ?? base.jitter,
    retryIf: nearer.retryIf ?? base.retryIf,
  });
}
