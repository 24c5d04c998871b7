/** The threads and processes that blocking tasks run in. */
import { availableParallelism } from 'node:os';
import { SECOND } from '../timers.ts';
import {
  aBoolean,
  anArrayOf,
  anInteger,
  anObjectOf,
  aRecordOf,
  type Complete,
  check,
  either,
  forever,
  milliseconds,
  type Rule,
  type Rules,
} from './rules.ts';

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

/** The child processes, for tasks with `executor: 'process'`. */
export interface ProcessOptions {
  /**
   * How many processes are kept when there is nothing to do. Above `0` they are started at once; otherwise the first
   * task starts the first process.
   *
   * @default 0
   */
  readonly minProcesses?: number | undefined;
  /**
   * How many processes there may be.
   *
   * @default one less than the cores that Node may use; at least 1, and `minProcesses`
   */
  readonly maxProcesses?: number | undefined;
  /** As in {@link PoolOptions.idleTimeout}. */
  readonly idleTimeout?: number | undefined;
  /** As in {@link PoolOptions.maxResultSize}. */
  readonly maxResultSize?: number | undefined;
  /** Memory limits of each process, in megabytes. A process that exceeds them aborts, and its task fails with `ERR_BACKGROUND_PROCESS_EXITED`. */
  readonly resourceLimits?: Pick<ResourceLimits, 'maxOldGenerationSizeMb' | 'maxYoungGenerationSizeMb'> | undefined;
  /**
   * By how much the processes' priority is below the server's: an integer from `0`, the same, to `19`.
   *
   * @default 10
   */
  readonly niceIncrement?: number | undefined;
  /** Node options for the processes. The same of the server's stay in force as in {@link PoolOptions.execArgv}; no others do. */
  readonly execArgv?: readonly string[] | undefined;
  /**
   * The environment of the processes.
   *
   * @default that of the server
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Appended to `process.argv` in the processes. */
  readonly argv?: readonly string[] | undefined;
}

const NICEST = 19;
const DEFAULT_IDLE_TIMEOUT = 30 * SECOND;
const DEFAULT_MAX_RESULT_SIZE = 64 * 2 ** 20;
const DEFAULT_NICE_INCREMENT = 10;

const megabytes: Rule = {
  expected: 'a positive, finite number of megabytes',
  accepts: (value) => Number.isFinite(value) && (value as number) > 0,
};

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

const atLeastNone = anInteger({ from: 0 });
const atLeastOne = anInteger({ from: 1 });

/** What threads and processes have in common. */
const workerRules = {
  idleTimeout: either(milliseconds(0), forever),
  maxResultSize: either(atLeastOne, forever),
  niceIncrement: anInteger({ from: 0, to: NICEST }),
  execArgv: anArrayOf('strings', isString),
  env: aRecordOf('strings', (entry) => entry === undefined || isString(entry)),
  argv: anArrayOf('strings', isString),
};

const heapRules = { maxOldGenerationSizeMb: megabytes, maxYoungGenerationSizeMb: megabytes };

const poolLimitRules: Rules<ResourceLimits> = { ...heapRules, codeRangeSizeMb: megabytes, stackSizeMb: megabytes };

export const poolRules: Rules<PoolOptions> = {
  minThreads: atLeastNone,
  maxThreads: atLeastOne,
  batch: aBoolean,
  resourceLimits: anObjectOf(poolLimitRules),
  ...workerRules,
};

export const processRules: Rules<ProcessOptions> = {
  minProcesses: atLeastNone,
  maxProcesses: atLeastOne,
  resourceLimits: anObjectOf<NonNullable<ProcessOptions['resourceLimits']>>(heapRules),
  ...workerRules,
};

function isString(entry: unknown): boolean {
  return typeof entry === 'string';
}

export const workerOptionNames = {
  pool: Object.keys(poolRules),
  poolLimits: Object.keys(poolLimitRules),
  processes: Object.keys(processRules),
  processLimits: Object.keys(heapRules),
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

/** @param place the function that was given the options, for the error that names it. */
export function resolvePool(pool: PoolOptions, place: string): ResolvedPoolOptions {
  const [minThreads, maxThreads] = resolveSize(pool, 'minThreads', 'maxThreads', 'pool.', place);
  const { resourceLimits, batch = true } = pool;
  return Object.freeze({ minThreads, maxThreads, batch, resourceLimits, ...resolveWorkers(pool) });
}

/** The same for the process pool. */
export function resolveProcesses(processes: ProcessOptions, place: string): ResolvedProcessOptions {
  const [minProcesses, maxProcesses] = resolveSize(processes, 'minProcesses', 'maxProcesses', 'processes.', place);
  const { resourceLimits } = processes;
  return Object.freeze({ minProcesses, maxProcesses, resourceLimits, ...resolveWorkers(processes) });
}

function resolveSize<Min extends string, Max extends string>(
  options: { readonly [Name in Min | Max]?: number | undefined },
  min: Min,
  max: Max,
  path: string,
  place: string,
): [min: number, max: number] {
  const least: number = options[min] ?? 0;
  const most: number = options[max] ?? Math.max(least, availableParallelism() - 1, 1);
  const rule = { expected: `an integer up to ${max} (${most})`, accepts: () => least <= most };
  check({ [min]: least }, { [min]: rule }, place, path);
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
