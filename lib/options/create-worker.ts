/** The options of `createWorker`: as a user writes them, and as those of the `backgroundTasks` that does its work. */
import type { TaskEngine } from '../durable/engine.ts';
import { optionError } from '../errors.ts';
import { check } from './check.ts';
import { type WorkOptions, workRules } from './durable.ts';
import { type BackgroundTasksOptions, middlewareRules } from './middleware.ts';
import { resolveProcesses } from './process-pool.ts';
import type { Rules } from './rules.ts';
import { resolvePool } from './thread-pool.ts';

/** Options of `createWorker`: where the tasks come from, how many run at once, and those of `backgroundTasks` that say how. */
export interface WorkerOptions
  extends WorkOptions,
    Pick<
      BackgroundTasksOptions,
      'pool' | 'processes' | 'logger' | 'logArguments' | 'onError' | 'maxBacklog' | 'watchdog'
    > {
  /** The engine that keeps the tasks. */
  readonly engine: TaskEngine;
}

const PLACE = 'createWorker()';

const { engine, pool, processes, logger, logArguments, onError, maxBacklog, watchdog } = middlewareRules;
export const workerRules: Rules<WorkerOptions> = {
  engine,
  ...workRules,
  pool,
  processes,
  logger,
  logArguments,
  onError,
  maxBacklog,
  watchdog,
};

/** Checks the options of `createWorker`, so that no error speaks of those that `backgroundTasks` is given for them. */
export function resolveWorkerOptions(
  options: Partial<WorkerOptions> = {},
): BackgroundTasksOptions & { readonly engine: TaskEngine } {
  const { engine, concurrency, unknownFor, ...others } = check(options, workerRules, PLACE);
  if (engine === undefined) {
    throw optionError(`Expected \`engine\` of ${PLACE} to be given.`);
  }
  resolvePool(others.pool ?? {}, PLACE);
  resolveProcesses(others.processes ?? {}, PLACE);
  return { ...others, engine, work: { concurrency, unknownFor } };
}
