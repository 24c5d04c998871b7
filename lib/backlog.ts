/** What was accepted and has not settled: admission, idleness, and the counts that show that nothing is lost. */

import { NumberedSet } from './collections/numbered-set.ts';
import { BackgroundTaskError } from './errors.ts';
import type { ExecutorName } from './executor-names.ts';
import type { TaskHandle } from './handle.ts';
import { OUTCOME_STATES, type Outcome, type OutcomeState } from './outcome.ts';
import type { PendingState, TaskState } from './task-state.ts';

/** What the backlog, and code that goes through the unsettled runs, needs of a run. */
export interface PendingRun {
  /** Counts up from `1`, in the order added. */
  readonly number: number;
  readonly id: string;
  readonly executor: ExecutorName;
  readonly state: TaskState;
  /** The number of the current attempt; `0` before the first. */
  readonly attemptNumber: number;
  readonly args: readonly unknown[];
  readonly handle: TaskHandle;
  readonly isSettled: boolean;
  readonly settled: Promise<Outcome>;
  /** Settles it: there is no time left. */
  abandon(): void;
}

type Counts = Record<TaskState, number>;

const noCounts = (): Counts => ({
  waiting: 0,
  running: 0,
  retrying: 0,
  ...(Object.fromEntries(OUTCOME_STATES.map((state) => [state, 0])) as Record<OutcomeState, number>),
});

/** Who may add: everybody; running tasks only; nobody. */
type Phase = 'open' | 'draining' | 'closed';

/**
 * Conservation: at every moment `added` is the sum of the counts, and a task's count moves to a settled state once.
 */
export class Backlog {
  readonly limit: number;
  readonly #unsettled = new NumberedSet<PendingRun>();
  readonly #counts: Readonly<Record<ExecutorName, Counts>> = {
    'event-loop': noCounts(),
    thread: noCounts(),
    process: noCounts(),
    engine: noCounts(),
  };
  #added = 0;
  #settled = 0;
  #phase: Phase = 'open';
  #idleWaiters: (() => void)[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get added(): number {
    return this.#added;
  }

  /** A task that is just settling no longer counts, so that a `settled` listener can add another in its place. */
  get size(): number {
    return this.#added - this.#settled;
  }

  get pending(): readonly PendingRun[] {
    return [...this.#unsettled];
  }

  find(number: number): PendingRun | undefined {
    return this.#unsettled.get(number);
  }

  /** Throws, in the handler, what Express answers with 503. `isFromTask`: whether it is a running task that adds. */
  assertRoom(taskName: string, isFromTask: () => boolean): void {
    if (this.#phase === 'closed' || (this.#phase === 'draining' && !isFromTask())) {
      throw new BackgroundTaskError(
        'ERR_BACKGROUND_CLOSED',
        `Task ${taskName} was refused: background.close() was called, and the server takes no more tasks.`,
      );
    }
    if (this.size >= this.limit) {
      throw new BackgroundTaskError(
        'ERR_BACKGROUND_FULL',
        `Task ${taskName} was refused: ${this.limit} tasks are already waiting or running, the limit set by \`maxBacklog\`.`,
      );
    }
  }

  /** Takes a task on. Its number is the one that {@link nextNumber} gave. */
  accept(run: PendingRun): void {
    this.#added += 1;
    this.#counts[run.executor].waiting += 1;
    this.#unsettled.add(run);
  }

  get nextNumber(): number {
    return this.#added + 1;
  }

  moved({ executor }: PendingRun, from: PendingState, to: TaskState): void {
    const counts = this.#counts[executor];
    counts[from] -= 1;
    counts[to] += 1;
  }

  settled(run: PendingRun, from: PendingState, to: OutcomeState): void {
    this.moved(run, from, to);
    this.#settled += 1;
  }

  /** Must be the last step of settling: code that waits for `idle()` may look at the result of all the others. */
  release(run: PendingRun): void {
    this.#unsettled.delete(run);
    if (this.#unsettled.size === 0 && this.#idleWaiters.length > 0) {
      const waiters = this.#idleWaiters;
      this.#idleWaiters = [];
      for (const resolve of waiters) resolve();
    }
  }

  counts(executor: ExecutorName): Readonly<Counts> {
    return { ...this.#counts[executor] };
  }

  idle(): Promise<void> {
    if (this.#unsettled.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  drain(): void {
    if (this.#phase === 'open') this.#phase = 'draining';
  }

  close(): void {
    this.#phase = 'closed';
  }
}
