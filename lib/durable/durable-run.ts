/** The two runs of a durable task: its handing over, where it is added, and its work, where a worker has it. */
import type { Outcome } from '../outcome.ts';
import { type NewTask, TaskRun } from '../run.ts';

/** What settles is the handing over: the engine has the task, and it may run. */
export class DurableRun extends TaskRun {
  #accepted: Promise<void> | undefined;

  override get accepted(): Promise<void> {
    return this.#accepted ?? super.accepted;
  }

  override set accepted(accepted: Promise<void>) {
    this.#accepted = accepted;
  }

  protected override get whenAbandoned(): string {
    return ' If the engine has it, its hold lets it run.';
  }
}

/** One attempt, counted by the engine: if another follows, it is the engine that begins it. */
export class WorkRun extends TaskRun {
  /** Set when it has settled. */
  isTriedAgain = false;
  readonly #retryInMs: number | undefined;

  /** @param retryInMs when another attempt would follow; `undefined` for the last. */
  constructor(task: NewTask, retryInMs: number | undefined) {
    super(task);
    this.#retryInMs = retryInMs;
  }

  override get isLastAttempt(): boolean {
    return this.#retryInMs === undefined;
  }

  protected override tryAgain(): boolean {
    this.isTriedAgain = true;
    return false;
  }

  protected override report(outcome: Outcome): void {
    const { error } = outcome;
    if (!this.isTriedAgain || error === undefined) super.report(outcome);
    else this.owner.runtime.reporter.retrying(this, error, this.#retryInMs ?? 0);
  }

  protected override get whenAbandoned(): string {
    return ' It was given back to the engine, and runs elsewhere.';
  }
}
