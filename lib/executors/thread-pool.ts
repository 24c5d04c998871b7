/** Runs tasks in worker threads. */
import type { ResolvedPoolOptions } from '../options/thread-pool.ts';
import { findPiscina } from './piscina-thread.ts';
import { Thread } from './thread.ts';
import { threadCannotStart } from './worker-errors.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_THREAD_START` if `minThreads` asks for threads and Node refuses their options. */
export function createThreadPool(options: ResolvedPoolOptions, onStray: WorkerPoolOptions['onStray']): WorkerPool {
  findPiscina();
  return new WorkerPool({
    min: options.minThreads,
    max: options.maxThreads,
    idleTimeout: options.idleTimeout,
    batch: options.batch,
    start: (observer) => new Thread(options, observer),
    startError: threadCannotStart,
    onStray,
  });
}
