/** The child processes that blocking tasks run in. */
import { check } from './check.ts';
import type { Complete } from './defaults.ts';
import { anObjectOf, type Rules } from './rules.ts';
import type { PoolOptions, ResourceLimits } from './thread-pool.ts';
import { atLeastNone, atLeastOne, defaultMost, heapRules, resolveShared, sharedRules, upTo } from './worker-pool.ts';

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
  readonly idleTimeout?: PoolOptions['idleTimeout'];
  /** As in {@link PoolOptions.maxResultSize}. */
  readonly maxResultSize?: PoolOptions['maxResultSize'];
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

export const processRules: Rules<ProcessOptions> = {
  minProcesses: atLeastNone,
  maxProcesses: atLeastOne,
  resourceLimits: anObjectOf<NonNullable<ProcessOptions['resourceLimits']>>(heapRules),
  ...sharedRules,
};

/** What the process pool is built from; nothing with a default in it is optional. */
export type ResolvedProcessOptions = Complete<
  ProcessOptions,
  'minProcesses' | 'maxProcesses' | 'idleTimeout' | 'maxResultSize' | 'niceIncrement'
>;

/** @param place the function that was given the options, for the error that names it. */
export function resolveProcesses(processes: ProcessOptions, place: string): ResolvedProcessOptions {
  const { minProcesses = 0, resourceLimits } = processes;
  const { maxProcesses = defaultMost(minProcesses) } = processes;
  check({ minProcesses }, { minProcesses: upTo('maxProcesses', maxProcesses) }, place, 'processes.');
  return Object.freeze({
    minProcesses,
    maxProcesses,
    resourceLimits: resourceLimits && { ...resourceLimits },
    ...resolveShared(processes),
  });
}
