/** Tasks that must not run, though an engine has them, or may have them. */
import { BackgroundTaskError } from '../errors.ts';
import { toError } from '../outcome.ts';
import { delayed, SECOND } from '../timers.ts';
import type { DiscardResult } from './engine.ts';
import { type Held, type HoldCalls, type Near, NOT_HELD } from './hold-calls.ts';

/** What the engine has of a task. `unknown`: it was asked to take it, and nobody heard whether it did. */
export type Kept = 'kept' | 'refused' | 'unknown';

/** It could not be told in time, and the task will run, may run, or may have. */
export type OnNotWithdrawn = (task: Held, error: BackgroundTaskError) => void;

/** What a try came to. `absent`: the task is not there, and may yet come. `near`: there was no time for a try. */
type Tried = DiscardResult | 'absent' | Near;

/** Between two tries. */
const FIRST_WAIT = 0.5 * SECOND;
const LONGEST_WAIT = 5 * SECOND;

export class Withdrawals {
  readonly #calls: HoldCalls;
  readonly #engine: string;
  readonly #onNotWithdrawn: OnNotWithdrawn;
  readonly #underWay = new Set<Promise<void>>();
  readonly #wakes = new Set<() => void>();
  #isClosed = false;

  constructor(calls: HoldCalls, engine: string, onNotWithdrawn: OnNotWithdrawn) {
    this.#calls = calls;
    this.#engine = engine;
    this.#onNotWithdrawn = onNotWithdrawn;
  }

  /** @param kept resolves when the engine has said what it will say, however late. */
  add(task: Held, kept: Promise<Kept>): void {
    const withdrawal = this.#withdraw(task, kept);
    this.#underWay.add(withdrawal);
    void withdrawal.then(() => this.#underWay.delete(withdrawal));
  }

  async #withdraw(task: Held, staging: Promise<Kept>): Promise<void> {
    const kept = await staging;
    // That a task which was not held may run all the same is no news: its failure was told.
    if (kept === 'refused' || (kept === 'unknown' && task.dueAt === NOT_HELD)) return;
    try {
      const last = await this.#tryUntilNear(task, kept === 'kept');
      if (last === 'discarded' || (last === 'absent' && (await this.#calls.find(task)) === undefined)) return;
      this.#tell(task, kept, last);
    } catch (thrown) {
      this.#tell(task, kept, toError(thrown));
    }
  }

  /** Nothing else keeps the task from running. Resolves to what came of the last try. */
  async #tryUntilNear(task: Held, isKept: boolean): Promise<Tried | Error> {
    let last: Tried | Error = 'near';
    let isThere = isKept;
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      const tried = await this.#calls.discard(task).catch(toError);
      if (tried === 'near') return last;
      // What was discarded by a call whose answer was lost is not there any more.
      if (tried instanceof Error) isThere = false;
      last = tried === 'too-late' && !isThere ? 'absent' : tried;
      if (last === 'discarded' || last === 'too-late' || this.#isClosed) return last;
      await this.#pause(wait);
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, milliseconds);
      this.#wakes.add(wake);
    });
  }

  #tell(task: Held, kept: Kept, last: Tried | Error): void {
    const cause = last instanceof Error ? last : undefined;
    const error = new BackgroundTaskError(
      'ERR_BACKGROUND_NOT_DISCARDED',
      `Expected task ${task.name} to be withdrawn from ${this.#engine}, but ${cause?.message ?? 'it was too late'}: it ${kept === 'kept' ? 'will run, or has run' : 'may run, or may have run'}.`,
      { cause },
    );
    this.#onNotWithdrawn(task, error);
  }

  /** Whatever waits for its next try has it now: it is the last. */
  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    for (const wake of [...this.#wakes]) wake();
    await delayed(grace, Promise.all(this.#underWay));
  }
}
