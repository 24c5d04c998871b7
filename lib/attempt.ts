/** One attempt of a run, as its executor sees it. */
import { RunningTask } from './current-task.ts';
import type { Attempt, AttemptFacts, AttemptResult, Executor } from './executors/executor.ts';
import type { Owner } from './owner.ts';
import type { TaskDefinition, TaskTarget } from './task.ts';

/** The run behind an attempt. It ignores whatever it is told about an attempt that is already over. */
export interface Attempted {
  readonly id: string;
  readonly name: string;
  readonly definition: TaskDefinition;
  readonly args: readonly unknown[];
  readonly context: unknown;
  readonly owner: Owner;
  readonly priority: number;
  readonly attemptNumber: number;
  readonly isLastAttempt: boolean;
  readonly isSettled: boolean;
  /** What {@link Attempt.kept} is at first. */
  readonly keptForExecutor: unknown;
  attemptStarted(attempt: TaskAttempt, at?: number): void;
  attemptReturned(attempt: TaskAttempt): void;
  attemptResumed(attempt: TaskAttempt, at?: number): void;
  attemptEnded(attempt: TaskAttempt, result: AttemptResult, ranMs?: number): void;
}

export class TaskAttempt implements Attempt {
  /** The executor that started an attempt must be the one to end it, even if the mode has changed since. */
  readonly executor: Executor;
  kept: unknown;
  readonly #run: Attempted;
  #task: RunningTask | undefined;

  constructor(run: Attempted, executor: Executor) {
    this.executor = executor;
    this.kept = run.keptForExecutor;
    this.#run = run;
  }

  /** Made when it is asked for: the main thread needs none of a task that runs in another. */
  get task(): RunningTask {
    this.#task ??= new RunningTask(this.#run, this.#run.attemptNumber, this.#run.owner);
    return this.#task;
  }

  get facts(): AttemptFacts {
    const { id, name, attemptNumber: attempt, context } = this.#run;
    return { id, name, attempt, context };
  }

  get target(): TaskTarget {
    return this.#run.definition.target;
  }

  get args(): readonly unknown[] {
    return this.#run.args;
  }

  get priority(): number {
    return this.#run.priority;
  }

  get isLast(): boolean {
    return this.#run.isLastAttempt;
  }

  started(at?: number): void {
    this.#run.attemptStarted(this, at);
  }

  returned(): void {
    this.#run.attemptReturned(this);
  }

  resumed(at?: number): void {
    this.#run.attemptResumed(this, at);
  }

  ended(result: AttemptResult, ranMs?: number): void {
    this.#run.attemptEnded(this, result, ranMs);
  }
}
