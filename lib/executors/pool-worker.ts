/** The interface between a pool and one of its workers, be it a thread or a process. */
import type { Movable } from '../move.ts';
import { SECOND } from '../time/timers.ts';
import type { Result, StrayMessage, TaskMessage } from './wire.ts';

/**
 * How long a worker that leaves by itself may take when a task waits for its place, in milliseconds. Listeners of its exit may
 * have something to finish, and may never end.
 */
export const LONGEST_LEAVING: number = 3 * SECOND;

/** Which attempt at which task. */
export interface AttemptName {
  readonly id: string;
  readonly attempt: number;
}

/** One thread or process: it runs a task at a time. */
export interface PoolWorker {
  /** Whether it is gone, or about to be: it may still tell what it has done, and nothing is to be given to it. */
  readonly isLeaving: boolean;
  /**
   * Hands it tasks, to be run one after the other; where it takes no batches, a single one. To be called only when it is
   * free. Throws where a message cannot be sent: then it has none of them, and is as free as before.
   */
  run(messages: readonly TaskMessage[], transferList: readonly Movable[]): void;
  /** Takes back the task at this place of its batch; `false` if it has begun. */
  recall(place: number): boolean;
  /** Of one that is gone: whether it is certain that what it was given last has never reached it. */
  neverReceived(): boolean;
  /** Reports at once what it has done so far: a batch is reported now and then. */
  report(): void;
  /** Tells the running task to stop by its signal. */
  cancel(attempt: AttemptName, reason: Error): void;
  /**
   * To be called for one that is leaving, when a task waits for its place, or was sent to it too late. Keeps this process
   * alive until it is gone, as one that runs a task does; it is ended after {@link LONGEST_LEAVING}, and tells its exit as
   * that of any that died.
   */
  holdUntilGone(): void;
  /** Ends it, whatever it does; resolves when it is gone. From then on it tells nothing but its exit. */
  end(): Promise<void>;
}

/** What one of the tasks that a worker was given has come to. */
export interface Ended {
  readonly result: Result;
  /** By the main thread's `performance.now()`, where the worker has written it down. */
  readonly startedAt?: number;
  readonly ranMs: number | undefined;
}

/** How far a worker has come with what it was given. */
export interface Progress {
  /** In the order in which they were given. */
  readonly ended: readonly Ended[];
  /** When the next of them has begun, if that is known. */
  readonly nextStartedAt: number | undefined;
  /** Whether that was all, and it takes more. */
  readonly isFree: boolean;
}

/** What a worker tells its pool. */
export interface WorkerObserver {
  /** It has started, and is free. */
  ready(): void;
  progressed(progress: Progress): void;
  /** It cannot read what it was given last, of which nothing has begun, and takes more. */
  unreadable(reason: string): void;
  /** An error that none of its running tasks is to blame for. */
  stray(stray: StrayMessage): void;
  /** It is gone. `error` says why, where it was not ended by `end`. */
  exited(error: Error | undefined): void;
}
