/** Runs tasks in child processes: what would take a whole server down takes down one of these. */

import type { ResolvedProcessOptions } from '../options/process-pool.ts';
import { ChildProcess } from './child-process.ts';
import { noProcessInSingleExecutable, processCannotStart } from './worker-errors.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

export function createProcessPool(options: ResolvedProcessOptions, onStray: WorkerPoolOptions['onStray']): WorkerPool {
  return new WorkerPool({
    min: options.minProcesses,
    max: options.maxProcesses,
    idleTimeout: options.idleTimeout,
    batch: false,
    start(observer) {
      // A fork would be the application again, whatever module it is given, and its tasks would fork the next.
      if (process.getBuiltinModule('node:sea').isSea()) throw noProcessInSingleExecutable();
      return new ChildProcess(options, observer);
    },
    startError: processCannotStart,
    onStray,
  });
}
