/** The executors by name. */

/** All of them, for whatever goes through every executor. */
export const EXECUTOR_NAMES = ['event-loop', 'thread', 'process', 'engine'] as const;

/** Where a task ran. `engine`: elsewhere; what settled is its handing over to the engine. */
export type ExecutorName = (typeof EXECUTOR_NAMES)[number];

export const WORKER_KINDS = ['thread', 'process'] as const;

/** The executors that are workers of a pool: other threads, other processes. */
export type WorkerKind = (typeof WORKER_KINDS)[number];

/** `undefined` for an executor where nothing crosses to a worker. */
export function workerKindOf(executor: ExecutorName): WorkerKind | undefined {
  return executor === 'thread' || executor === 'process' ? executor : undefined;
}
