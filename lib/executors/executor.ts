/** The interface between a run and whatever carries it out. An executor knows nothing of HTTP, lists or retries. */
import type { RunningTask } from '../current-task.ts';
import type { ExecutorName } from '../executor-names.ts';
import type { TaskTarget } from '../task.ts';

/** What one attempt came to. `thrown` is whatever the task threw, an Error or not. */
export type AttemptResult =
  | { readonly ok: true; readonly value: unknown; readonly warning?: Error }
  | { readonly ok: false; readonly thrown: unknown };

/** What another thread or process has to know of an attempt. */
export interface AttemptFacts {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly context: unknown;
}

/** One attempt at one task, as an executor sees it. */
export interface Attempt {
  readonly target: TaskTarget;
  readonly args: readonly unknown[];
  readonly facts: AttemptFacts;
  /** What `currentTask()` returns where it runs in this thread. Workers make their own of the facts. */
  readonly task: RunningTask;
  /** Whatever its executor wants to remember of it. */
  kept: unknown;
  readonly priority: number;
  /** Whether no other attempt can follow, so that moved buffers may leave for good. */
  readonly isLast: boolean;
  /** Called when the task's code is about to run, or when a worker reports that it has begun: at `at`, by `performance.now()`. */
  started(at?: number): void;
  /** Called when it has not begun after all, since its worker was gone before: it waits again, until {@link resumed}. */
  returned(): void;
  /** Called in place of `started` when it begins, or so it seems, in another worker. */
  resumed(at?: number): void;
  /** Called once, whatever happens. `ranMs`: how long the code ran, where its thread has measured that. */
  ended(result: AttemptResult, ranMs?: number): void;
}

export interface Executor {
  /** Takes an attempt on; it starts now or when there is room. Never throws. */
  execute(attempt: Attempt): void;
  /**
   * Ends an attempt: it is told to stop, and `ended` follows. For one that runs in a worker, when it has stopped, or was
   * stopped; for any other at once, with `reason` as what was thrown.
   */
  abort(attempt: Attempt, reason: Error): void;
  /** Lets go of everything; called when no attempt is left. `grace` bounds the wait for aborted code that still runs. */
  close(grace: number): Promise<void>;
}

/** Those that run tasks in this process, or in threads and processes of it. */
export type LocalExecutors = Readonly<Record<Exclude<ExecutorName, 'engine'>, Executor>>;
