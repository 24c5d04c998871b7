/** The options of `backgroundTasks`, as a user writes them. */
import type { TaskEngine } from '../durable/engine.ts';
import type { Logger } from '../log.ts';
import type { UnsuccessfulOutcome } from '../outcome.ts';
import { type DurableOptions, durableRules, type WorkOptions, workRules } from './durable.ts';
import { type ProcessOptions, processRules } from './process-pool.ts';
import { aBoolean, aFunction, anInteger, anObjectOf, either, oneOf, type Rules } from './rules.ts';
import { type RetryOptions, taskRules, type When } from './task.ts';
import { type PoolOptions, poolRules, REFUSED_POOL_OPTIONS } from './thread-pool.ts';
import { type WatchdogOptions, watchdogRules } from './watchdog.ts';

/** How the tasks of one response follow each other. */
export type Order = 'sequential' | 'parallel';

/** All modes, for whatever takes one. */
export const MODES = ['run', 'inline', 'record'] as const;

/** How the tasks are treated: `run` is the real thing, the others are for tests. */
export type Mode = (typeof MODES)[number];

/** The options of `backgroundTasks`. */
export interface BackgroundTasksOptions {
  /**
   * The worker threads.
   *
   * @example
   * pool: { maxThreads: 4, resourceLimits: { maxOldGenerationSizeMb: 512 } }
   */
  readonly pool?: PoolOptions | undefined;
  /**
   * The child processes.
   *
   * @example
   * processes: { maxProcesses: 2, env: { ...process.env, OMP_NUM_THREADS: '1' } }
   */
  readonly processes?: ProcessOptions | undefined;
  /**
   * Whether the tasks of one response run one after the other, or all at once. In sequence, a task begins when the
   * one before has settled: after its retries, and the waits between them.
   *
   * @default 'sequential'
   */
  readonly order?: Order | undefined;
  /**
   * How a response must end for its tasks to run: in any way, or only with a success, fully sent with a status below 400, or
   * only without one. For every task that does not say otherwise: {@link TaskOptions.when}.
   *
   * @default 'always'
   */
  readonly when?: When | undefined;
  /**
   * How long one attempt at a task may run, in milliseconds; `Infinity` for no limit. The clock starts when the attempt
   * starts. For every task that does not say otherwise: {@link TaskOptions.timeout}.
   *
   * @default 30_000
   */
  readonly timeout?: number | undefined;
  /**
   * When a failed attempt is followed by another, for every task that does not say otherwise.
   *
   * @default no retry
   * @example
   * retry: { attempts: 3, delay: 500 }
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * How many tasks may be accepted and not yet settled, at least `1`. At the limit `add` throws `ERR_BACKGROUND_FULL`, which
   * Express answers with 503.
   *
   * @default 10_000
   */
  readonly maxBacklog?: number | undefined;
  /**
   * How many outcomes, with the values that tasks returned, are kept for `find(id)`: from `0`, none, to `1_000_000`.
   *
   * @default 1_000
   */
  readonly history?: number | undefined;
  /**
   * Where failures are logged: anything with `error`, `warn`, `info` and `debug`; `false` for nowhere.
   *
   * @default a winston logger that writes to the console
   */
  readonly logger?: Logger | false | undefined;
  /**
   * Whether log lines contain the arguments of the task. Arguments may be personal data.
   *
   * @default false
   */
  readonly logArguments?: boolean | undefined;
  /**
   * Called once for each task that failed, timed out or was abandoned, and in a worker for each that it refuses for good.
   * It may be asynchronous. What it throws, or rejects with, is logged.
   *
   * @example
   * onError: (error, { name, id }) => errorTracker.capture(error, { tags: { task: name }, extra: { id } })
   */
  readonly onError?: ((error: Error, outcome: UnsuccessfulOutcome) => unknown) | undefined;
  /**
   * Whether `addBackgroundTask()` works in code that does not have the response. Each request then carries one
   * more async context.
   *
   * @default false
   * @example
   * ambient: true // and in a service: addBackgroundTask(sendEmail, user.email);
   */
  readonly ambient?: boolean | undefined;
  /**
   * Plain values of the request that its tasks can read as `currentTask().context`, in threads and processes as well.
   * Called at each `add` to the list of a response. If it throws, or returns a promise, `add` throws `ERR_BACKGROUND_HOOK`.
   * A task that another adds by `background.add` has the context of that task; one that a handler adds has none.
   *
   * @default none: the context is `undefined`
   *
   * @example
   * context: (req) => ({ requestId: req.headers['x-request-id'] })
   */
  // biome-ignore lint/suspicious/noExplicitAny: users annotate the request type of their own framework.
  readonly context?: ((req: any) => unknown) | undefined;
  /**
   * Whether a task, a handler or other code that blocks the event loop is logged, and how. `true`: from 50 ms on.
   *
   * @default { threshold: 100 }; `false` where `NODE_ENV` is `production` or `test`
   * @example
   * watchdog: { threshold: 50, stacks: true }
   */
  readonly watchdog?: WatchdogOptions | boolean | undefined;
  /**
   * Where durable tasks are kept: `bullmq(…)` of `express-background-tasks/bullmq`, `pgBoss(…)` of
   * `express-background-tasks/pg-boss`, or one of your own. Without it they run in this process.
   *
   * @example
   * engine: bullmq({ connection: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })
   */
  readonly engine?: TaskEngine | undefined;
  /**
   * How durable tasks are handed to the engine.
   *
   * @example
   * durable: { hold: 30_000, acceptTimeout: 2_000 }
   */
  readonly durable?: DurableOptions | undefined;
  /**
   * Whether this process runs durable tasks as well, its own and those of others. `true`: as many at once as there are threads.
   *
   * @default false
   * @example
   * work: { concurrency: 2 }
   */
  readonly work?: WorkOptions | boolean | undefined;
  /**
   * `run`: the real thing. `inline`: blocking tasks run in this thread, on clones of their arguments. `record`: nothing
   * runs, and tasks settle as `skipped`. The last two are for tests.
   *
   * @default 'run'
   */
  readonly mode?: Mode | undefined;
}

const LONGEST_HISTORY = 1_000_000;

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

/** Those that `createWorker` has as well are taken from here. */
export const middlewareRules: Rules<BackgroundTasksOptions> = {
  pool: anObjectOf(poolRules, REFUSED_POOL_OPTIONS),
  processes: anObjectOf(processRules),
  order: oneOf('sequential', 'parallel'),
  when: taskRules.when,
  timeout: taskRules.timeout,
  retry: taskRules.retry,
  maxBacklog: anInteger({ from: 1 }),
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
  mode: oneOf(...MODES),
};

function hasMethods(value: unknown, names: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}
