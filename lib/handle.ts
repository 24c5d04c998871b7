/** What `add` returns. */

import type { Outcome } from './outcome.ts';
import type { TaskState } from './task-state.ts';

/** A task that was accepted. */
export interface TaskHandle<Value = unknown> {
  /** Unique among the tasks of all processes; safe to show to clients. */
  readonly id: string;
  /** The task's name. */
  readonly name: string;
  /** `waiting`, `running`, `retrying` (between two attempts), or the state of the outcome. */
  readonly state: TaskState;
  /**
   * For a durable task: resolves when the engine has it, so that it survives this process. Rejects with
   * `ERR_BACKGROUND_ENGINE` (503) if the engine does not accept it within `durable.acceptTimeout`; the task then settles
   * as `failed`, with that error. For other tasks it is resolved from the start.
   */
  readonly accepted: Promise<void>;
  /** Resolves to the outcome. Never rejects. For a durable task, the outcome of the hand-over to the engine. */
  readonly settled: Promise<Outcome<Value>>;
  /**
   * Ends the task: one that has not started will not; one that runs is told by `currentTask().signal`. A blocking one
   * that does not heed it within a quarter of a second is ended with its thread or process. It settles as `cancelled`.
   *
   * @param reason becomes the `cause` of the outcome's error, whose code is `ERR_BACKGROUND_CANCELLED`.
   * @returns whether the task had not settled yet.
   */
  cancel(reason?: unknown): boolean;
}

/** Shows no more of the run than a handle should: it may end up in a user's JSON or log. */
export class Handle implements TaskHandle {
  readonly #run: TaskHandle;

  constructor(run: TaskHandle) {
    this.#run = run;
  }

  get id(): string {
    return this.#run.id;
  }

  get name(): string {
    return this.#run.name;
  }

  get state(): TaskState {
    return this.#run.state;
  }

  get accepted(): Promise<void> {
    return this.#run.accepted;
  }

  get settled(): Promise<Outcome> {
    return this.#run.settled;
  }

  cancel(reason?: unknown): boolean {
    return this.#run.cancel(reason);
  }

  toJSON(): { id: string; name: string; state: TaskState } {
    return { id: this.id, name: this.name, state: this.state };
  }
}
