/** Calls that are made to an engine again and again, for as long as a hold lasts. */

import { deferred } from '../deferred.ts';
import { Backoff } from '../time/backoff.ts';
import { doneWithin, SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import type { Near } from './hold-calls.ts';

/** The wait between two calls is doubled each time. */
const FIRST_WAIT = 0.5 * SECOND;
const LONGEST_WAIT = 5 * SECOND;
/** The last call is made this long before the end of the hold is near, in milliseconds. */
const LAST_CALL_BEFORE = 100;

export class Repetition {
  readonly #inFlight = new Set<Promise<void>>();
  readonly #wakes = new Set<() => void>();
  #isClosed = false;

  /** Makes `close` wait for this work. @param work never rejects. */
  watch(work: Promise<void>): void {
    this.#inFlight.add(work);
    void work.then(() => this.#inFlight.delete(work));
  }

  /**
   * Repeats a call until its answer `isEnough`, or the end of the hold is near.
   *
   * @param msUntilNear asked before each wait.
   * @param heard the answer to a first call that has been made already.
   * @returns the last answer; `near` if there was none.
   */
  async untilNear<Answer>(
    call: () => Promise<Answer | Near>,
    isEnough: (answer: Answer | Error) => boolean,
    msUntilNear: () => number,
    heard?: Answer,
  ): Promise<Answer | Near | Error> {
    let last: Answer | Near | Error = 'near';
    let answer = heard ?? (await call().catch(toError));
    const backoff = new Backoff(FIRST_WAIT, LONGEST_WAIT);
    while (answer !== 'near') {
      last = answer;
      if (isEnough(answer) || this.#isClosed) break;
      const untilLastCall = msUntilNear() - LAST_CALL_BEFORE;
      const wait = backoff.next();
      await this.#pause(Math.min(wait, untilLastCall > 0 ? untilLastCall : LAST_CALL_BEFORE));
      answer = await call().catch(toError);
    }
    return last;
  }

  /** Makes a call again, after a wait. Once it is closed it doesn't: the answer would be the same. Never rejects. */
  async after<Answer>(milliseconds: number, call: () => Promise<Answer>): Promise<Answer | Error | undefined> {
    if (this.#isClosed) return undefined;
    await this.#pause(milliseconds);
    return call().catch(toError);
  }

  async #pause(milliseconds: number): Promise<void> {
    const { promise: woken, resolve: wake } = deferred();
    this.#wakes.add(wake);
    await doneWithin(milliseconds, woken);
    this.#wakes.delete(wake);
  }

  /** Calls that wait for their next turn are made now, for the last time. */
  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    for (const wake of this.#wakes) wake();
    await doneWithin(grace, Promise.all(this.#inFlight));
  }
}
