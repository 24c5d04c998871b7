/** Runs tasks in child processes: what would take a whole server down takes down one of these. */

import type { ResolvedProcessOptions } from '../options/process-pool.ts';
import { ChildProcess } from './child-process.ts';
import { processCannotStart } from './worker-errors.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

export function createProcessPool(options: ResolvedProcessOptions, onStray: WorkerPoolOptions['onStray']): WorkerPool {
  return new WorkerPool({
    min: options.minProcesses,
    max: options.maxProcesses,
    idleTimeout: options.idleTimeout,
    batch: false,
    start: (observer) => new ChildProcess(options, observer),
    startError: processCannotStart,
    onStray,
  });
}
