/** Takes tasks back that must not run, though the engine has them or may have them. */
import { BackgroundTaskError } from '../errors.ts';
import { toError } from '../to-error.ts';
import type { DiscardResult, DurableTask } from './engine.ts';
import type { Acceptance } from './handed-task.ts';
import { type Held, type HoldCalls, type Near, NOT_HELD } from './hold-calls.ts';
import type { Repetition } from './repetition.ts';

/** Warns that a task runs although it should not, or later than it should. */
export type Warn = (task: Held, error: BackgroundTaskError) => void;

export class Withdrawals {
  readonly #calls: HoldCalls;
  readonly #repetition: Repetition;
  readonly #engine: string;
  readonly #warn: Warn;

  constructor(calls: HoldCalls, repetition: Repetition, engine: string, warn: Warn) {
    this.#calls = calls;
    this.#repetition = repetition;
    this.#engine = engine;
    this.#warn = warn;
  }

  /** @param answer the engine's final answer to staging the task, however late it comes. */
  add(task: Held, answer: Promise<Acceptance>): void {
    this.#repetition.watch(this.#withdraw(task, answer));
  }

  async #withdraw(task: Held, answer: Promise<Acceptance>): Promise<void> {
    const acceptance = await answer;
    if (acceptance === 'refused') return;
    if (task.dueAt === NOT_HELD) {
      await this.#tellUnheld(task, acceptance);
      return;
    }
    const last = await this.#discard(task, acceptance === 'accepted');
    if (last === 'discarded') return;
    // A call whose answer was lost may have discarded the task: whether it is there, the engine can say.
    const isDoubtful = last === 'absent' || last instanceof Error;
    const atNear = isDoubtful ? await this.#calls.find(task).catch(toError) : last;
    const found = atNear ?? (acceptance === 'uncommitted' ? await this.#findWhenDue(task) : undefined);
    if (found === undefined) return;
    const cause = [last, found].find((one) => one instanceof Error);
    this.#tell(task, acceptance === 'accepted' && !(found instanceof Error), cause);
  }

  /** A task without a hold can't be discarded. */
  async #tellUnheld(task: Held, acceptance: Acceptance): Promise<void> {
    // That it was not accepted has been told already, but not that the engine has it all the same.
    const isThere = acceptance === 'accepted' || (await this.#calls.find(task).catch(() => undefined)) !== undefined;
    if (isThere || acceptance === 'uncommitted') this.#tell(task, isThere, undefined);
  }

  /**
   * Asks again and again, since nothing but a discard keeps the task from running.
   *
   * `absent`: the engine answered `too-late` and may not have the task. Either it has not got the task yet, or an earlier
   * call has discarded it.
   */
  #discard(task: Held, isAccepted: boolean): Promise<DiscardResult | 'absent' | Near | Error> {
    let isThere = isAccepted;
    return this.#repetition.untilNear<DiscardResult | 'absent'>(
      async () => {
        const answer = await this.#calls.discard(task);
        return answer === 'too-late' && !isThere ? 'absent' : answer;
      },
      (answer) => {
        // A call whose answer was lost may have discarded the task.
        if (answer instanceof Error) isThere = false;
        return answer === 'discarded' || answer === 'too-late';
      },
      () => this.#calls.msUntilNear(task),
    );
  }

  /** A transaction may be committed when the end of the hold is near: nothing can be done about that, but to tell of it. */
  #findWhenDue(task: Held): Promise<DurableTask | undefined | Error> {
    return this.#repetition.after(this.#calls.msUntilDue(task), () => this.#calls.find(task));
  }

  #tell(task: Held, isThere: boolean, cause: Error | undefined): void {
    const error = new BackgroundTaskError(
      'ERR_BACKGROUND_NOT_DISCARDED',
      `Expected task ${task.name} to be withdrawn from ${this.#engine}, but ${cause?.message ?? 'it was too late'}: it ${isThere ? 'will run, or has run' : 'may run, or may have run'}.`,
      { cause },
    );
    this.#warn(task, error);
  }
}
