/** What `add` returns. */

import { type InspectOptions, inspect } from 'node:util';
import type { Outcome } from './outcome.ts';
import type { TaskState } from './task-state.ts';

/** A task that was accepted. */
export interface TaskHandle<Value = unknown> {
  /** Unique among the tasks of all processes. Clients may see it, and can guess others: check whose task they ask for. */
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
  #task: TaskHandle;

  constructor(run: TaskHandle) {
    this.#task = run;
  }

  /** Lets go of the run: a handle that is kept must keep neither the request alive nor what the task's code can reach. */
  static settle(handle: Handle, task: SettledTask): void {
    handle.#task = task;
  }

  get id(): string {
    return this.#task.id;
  }

  get name(): string {
    return this.#task.name;
  }

  get state(): TaskState {
    return this.#task.state;
  }

  get accepted(): Promise<void> {
    return this.#task.accepted;
  }

  get settled(): Promise<Outcome> {
    return this.#task.settled;
  }

  cancel(reason?: unknown): boolean {
    return this.#task.cancel(reason);
  }

  toJSON(): { id: string; name: string; state: TaskState } {
    return { id: this.id, name: this.name, state: this.state };
  }

  /** Its fields are private: without this, `console.log(handle)` shows none. */
  [inspect.custom](depth: number, options: InspectOptions): string {
    return depth < 0 ? '[TaskHandle]' : `TaskHandle ${inspect(this.toJSON(), options)}`;
  }
}

/** All that is left of a task that has settled. */
export class SettledTask implements TaskHandle {
  readonly accepted: Promise<void>;
  readonly #outcome: Outcome;
  #settled: Promise<Outcome> | undefined;

  /** @param settled the promise that others have already; none where nobody has asked for it. */
  constructor(outcome: Outcome, accepted: Promise<void>, settled: Promise<Outcome> | undefined) {
    this.accepted = accepted;
    this.#outcome = outcome;
    this.#settled = settled;
  }

  get id(): string {
    return this.#outcome.id;
  }

  get name(): string {
    return this.#outcome.name;
  }

  get state(): TaskState {
    return this.#outcome.state;
  }

  get settled(): Promise<Outcome> {
    this.#settled ??= Promise.resolve(this.#outcome);
    return this.#settled;
  }

  cancel(): boolean {
    return false;
  }
}
