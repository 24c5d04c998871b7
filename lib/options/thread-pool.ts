/** The worker threads that blocking tasks run in. */
import { check } from './check.ts';
import type { Complete } from './defaults.ts';
import { aBoolean, anObjectOf, type Rules } from './rules.ts';
import {
  atLeastNone,
  atLeastOne,
  defaultMost,
  heapRules,
  megabytes,
  resolveShared,
  sharedRules,
  upTo,
} from './worker-pool.ts';

/**
 * Limits of one thread, as in `node:worker_threads`. In megabytes. They do not count Buffers. In a thread Node ignores
 * `maxOldGenerationSizeMb` where the server runs with `--max-old-space-size`, and applies that.
 */
export interface ResourceLimits {
  /** Of the heap where objects live that have outlasted a few collections. The one to set. */
  readonly maxOldGenerationSizeMb?: number | undefined;
  /** Of the heap for new objects. */
  readonly maxYoungGenerationSizeMb?: number | undefined;
  /** Of the memory for generated code. */
  readonly codeRangeSizeMb?: number | undefined;
  /** Of the stack. */
  readonly stackSizeMb?: number | undefined;
}

/** The worker threads. Most names are Piscina's. */
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
   * @default one less than the cores that Node may use, so that the event loop keeps one; at least 1, and `minThreads`
   */
  readonly maxThreads?: number | undefined;
  /**
   * How long a thread above `minThreads` may be idle before it is ended, in milliseconds; `Infinity`: never.
   *
   * @default 30_000
   */
  readonly idleTimeout?: number | undefined;
  /**
   * Whether several waiting tasks may be sent to one thread in a single message, when more tasks wait than threads are
   * free. Only tasks whose earlier runs were short go together, up to about a millisecond of expected work. Each keeps
   * its own timeout, signal and outcome.
   *
   * @default true
   */
  readonly batch?: boolean | undefined;
  /**
   * The most bytes that a task's result may take, roughly; `Infinity`: any number. A result is made anew in the server's
   * memory, by its event loop. A larger one stays where it is, the task is `completed`, its value is `undefined`, and one
   * warning says so.
   *
   * @default 67_108_864
   */
  readonly maxResultSize?: number | undefined;
  /** Memory limits of each thread. A task that exceeds them fails with `ERR_BACKGROUND_OUT_OF_MEMORY`. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /**
   * By how much the threads' priority is below the event loop's: an integer from `0`, the same, to `19`. Needs the
   * optional package `@napi-rs/nice`. Without it, or where the system has no priorities for threads, they silently run at
   * normal priority.
   *
   * @default 10
   */
  readonly niceIncrement?: number | undefined;
  /**
   * Node options for the threads. Those of the process that say how modules are loaded (`--import`, `--require`,
   * `--conditions`, …), and those for source maps, warnings and permissions, stay in force.
   *
   * @default those of the process
   *
   * @example
   * execArgv: ['--import', new URL('./register.js', import.meta.url).href] // a loader for task modules
   */
  readonly execArgv?: readonly string[] | undefined;
  /**
   * The environment of the threads, in the place of `process.env`.
   *
   * @default a copy of process.env
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Appended to `process.argv` in the threads. */
  readonly argv?: readonly string[] | undefined;
}

/** Piscina's options that would break the contract, and why. */
export const REFUSED_POOL_OPTIONS: Readonly<Record<string, string>> = {
  maxQueue: "tasks that wait for a thread are kept in the package's own queue: use `maxBacklog`",
  concurrentTasksPerWorker: 'a thread runs one task at a time, so that ending the thread stops no other task',
  filename: 'a task names its own module: use `blocking(url)`',
  name: 'a task names its own export: use `blocking(url)`',
  taskQueue: "tasks that wait for a thread are kept in the package's own queue: use `priority`",
  atomics: 'timers and sockets in a thread would stand still between tasks',
  closeTimeout: 'use `close({ timeout })`',
  workerData: 'pass arguments to `add`, or use `context`',
  loadBalancer: 'a task goes to whichever thread is free',
  stricterFIFO: 'tasks of one priority always start in the order added',
  recordTiming: 'use `stats()`',
  workerHistogram: 'use `stats()`',
  trackUnmanagedFds: 'files that a thread left open are always closed when it ends',
};

const limitRules: Rules<ResourceLimits> = { ...heapRules, codeRangeSizeMb: megabytes, stackSizeMb: megabytes };

export const poolRules: Rules<PoolOptions> = {
  minThreads: atLeastNone,
  maxThreads: atLeastOne,
  batch: aBoolean,
  resourceLimits: anObjectOf(limitRules),
  ...sharedRules,
};

/** What the thread pool is built from; nothing with a default in it is optional. */
export type ResolvedPoolOptions = Complete<
  PoolOptions,
  'minThreads' | 'maxThreads' | 'batch' | 'idleTimeout' | 'maxResultSize' | 'niceIncrement'
>;

/** @param place the function that was given the options, for the error that names it. */
export function resolvePool(pool: PoolOptions, place: string): ResolvedPoolOptions {
  const { minThreads = 0, batch = true, resourceLimits } = pool;
  const { maxThreads = defaultMost(minThreads) } = pool;
  check({ minThreads }, { minThreads: upTo('maxThreads', maxThreads) }, place, 'pool.');
  return Object.freeze({
    minThreads,
    maxThreads,
    batch,
    resourceLimits: resourceLimits && { ...resourceLimits },
    ...resolveShared(pool),
  });
}
