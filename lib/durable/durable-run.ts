/** The two runs of a durable task: its hand-over to the engine, in the process that adds it, and its work, in a worker. */
import type { ExecutorName } from '../executor-names.ts';
import type { Outcome } from '../outcome.ts';
import { type NewTask, TaskRun } from '../run.ts';

/** The task on its way to the engine. Its executor knows more of it than its run has to. */
interface Handed {
  readonly isHeld: boolean;
}

/** The hand-over. It has completed when the engine has the task and may let it run. */
export class DurableRun extends TaskRun {
  /** What is kept for the executor, until the run has settled. */
  handed: Handed | undefined;
  #accepted: Promise<void> | undefined;

  override get executor(): ExecutorName {
    return 'engine';
  }

  override get accepted(): Promise<void> {
    return this.#accepted ?? super.accepted;
  }

  override set accepted(accepted: Promise<void>) {
    this.#accepted = accepted;
  }

  override get keptForExecutor(): unknown {
    return this.handed;
  }

  /** What the engine has, the engine is asked for. */
  override get isKeptInHistory(): boolean {
    return this.state !== 'completed';
  }

  protected override get whenAbandoned(): string {
    return ` If the engine has it, it runs${this.handed?.isHeld ? ' when its hold is over' : ''}.`;
  }
}

/** One attempt in a worker. The engine counts attempts, and begins the next one. */
export class WorkRun extends TaskRun {
  /** Whether the engine is to begin another attempt. Known when the run has settled. */
  isTriedAgain = false;
  readonly #retryInMs: number | undefined;

  /** @param retryInMs how long after a failure another attempt follows; `undefined` for the last attempt. */
  constructor(task: NewTask, retryInMs: number | undefined) {
    super(task);
    this.#retryInMs = retryInMs;
  }

  override get isLastAttempt(): boolean {
    return this.#retryInMs === undefined;
  }

  /** Its engine is asked, in any process. */
  override get isKeptInHistory(): boolean {
    return false;
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
