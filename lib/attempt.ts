/** One attempt of a run, as its executor sees it. */
import { RunningTask } from './current-task.ts';
import type { Attempt, AttemptResult, Executor } from './executors/executor.ts';
import type { TaskDefinition, TaskTarget } from './task.ts';

/** The run behind an attempt. What it is told of an attempt that is over, it does not hear. */
export interface Attempted {
  readonly id: string;
  readonly name: string;
  readonly definition: TaskDefinition;
  readonly args: readonly unknown[];
  readonly context: unknown;
  readonly owner: object;
  readonly priority: number;
  readonly attempt: number;
  readonly isLastAttempt: boolean;
  attemptStarted(attempt: TaskAttempt, at?: number): void;
  attemptEnded(attempt: TaskAttempt, result: AttemptResult, ranMs?: number): void;
}

export class TaskAttempt implements Attempt {
  readonly task: RunningTask;
  /** Whoever took it on must be the one to end it. */
  readonly executor: Executor;
  readonly #run: Attempted;

  constructor(run: Attempted, executor: Executor) {
    this.executor = executor;
    this.#run = run;
    this.task = new RunningTask(run, run.attempt, run.owner);
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

  ended(result: AttemptResult, ranMs?: number): void {
    this.#run.attemptEnded(this, result, ranMs);
  }
}
