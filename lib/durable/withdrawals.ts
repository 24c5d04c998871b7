/** Tasks that must not run, though an engine has them, or may have them. */
import { BackgroundTaskError } from '../errors.ts';
import { toError } from '../to-error.ts';
import type { DiscardResult } from './engine.ts';
import { type Held, type HoldCalls, type Near, NOT_HELD } from './hold-calls.ts';
import type { Repetition } from './repetition.ts';

/** What the engine has of a task. `unknown`: it may have it, or may yet get it. */
export type Kept = 'kept' | 'refused' | 'unknown';

/** It could not be told in time, and the task will run, may run, or may have. */
export type OnNotWithdrawn = (task: Held, error: BackgroundTaskError) => void;

export class Withdrawals {
  readonly #calls: HoldCalls;
  readonly #repetition: Repetition;
  readonly #engine: string;
  readonly #onNotWithdrawn: OnNotWithdrawn;

  constructor(calls: HoldCalls, repetition: Repetition, engine: string, onNotWithdrawn: OnNotWithdrawn) {
    this.#calls = calls;
    this.#repetition = repetition;
    this.#engine = engine;
    this.#onNotWithdrawn = onNotWithdrawn;
  }

  /** @param kept resolves when the engine has said what it will say, however late. */
  add(task: Held, kept: Promise<Kept>): void {
    this.#repetition.watch(this.#withdraw(task, kept));
  }

  async #withdraw(task: Held, staging: Promise<Kept>): Promise<void> {
    const kept = await staging;
    // That a task which was not held may run all the same is no news: its failure was told.
    if (kept === 'refused' || (kept === 'unknown' && task.dueAt === NOT_HELD)) return;
    try {
      const last = await this.#discard(task, kept === 'kept');
      if (last === 'discarded' || (last === 'absent' && (await this.#calls.find(task)) === undefined)) return;
      this.#tell(task, kept, last instanceof Error ? last : undefined);
    } catch (thrown) {
      this.#tell(task, kept, toError(thrown));
    }
  }

  /** Nothing else keeps the task from running. `absent`: what is too late may also be too early, or done. */
  #discard(task: Held, isKept: boolean): Promise<DiscardResult | 'absent' | Near | Error> {
    let isThere = isKept;
    return this.#repetition.untilNear<DiscardResult | 'absent'>(
      async () => {
        const answer = await this.#calls.discard(task);
        return answer === 'too-late' && !isThere ? 'absent' : answer;
      },
      (answer) => {
        // By a call whose answer was lost it may have been discarded.
        if (answer instanceof Error) isThere = false;
        return answer === 'discarded' || answer === 'too-late';
      },
    );
  }

  #tell(task: Held, kept: Kept, cause: Error | undefined): void {
    const error = new BackgroundTaskError(
      'ERR_BACKGROUND_NOT_DISCARDED',
      `Expected task ${task.name} to be withdrawn from ${this.#engine}, but ${cause?.message ?? 'it was too late'}: it ${kept === 'kept' ? 'will run, or has run' : 'may run, or may have run'}.`,
      { cause },
    );
    this.#onNotWithdrawn(task, error);
  }
}
