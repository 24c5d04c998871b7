/** The two runs of a durable task: its handing over, where it is added, and its work, where a worker has it. */
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

/** One attempt, counted by the engine. */
export class WorkRun extends TaskRun {
  readonly #attempt: number;

  constructor(task: NewTask, attempt: number) {
    super(task);
    this.#attempt = attempt;
  }

  override get attempt(): number {
    return this.#attempt;
  }

  protected override get whenAbandoned(): string {
    return ' It was given back to the engine, and runs elsewhere.';
  }
}
