/** The executors by name. */

/** Where a task ran. `engine`: elsewhere; what settled is its handing over to the engine. */
export type ExecutorName = 'event-loop' | 'thread' | 'process' | 'engine';

/** The executors that are workers of a pool: other threads, other processes. */
export type WorkerKind = 'thread' | 'process';
export const WORKER_KINDS: readonly WorkerKind[] = ['thread', 'process'];

/** All of them, for whatever goes through every executor. */
export const EXECUTOR_NAMES: readonly ExecutorName[] = ['event-loop', 'thread', 'process', 'engine'];
