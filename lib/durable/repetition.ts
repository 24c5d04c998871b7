/** What has to be said to an engine again and again, for as long as a hold lasts. */

import { doneWithin, SECOND } from '../timers.ts';
import { toError } from '../to-error.ts';
import type { Near } from './hold-calls.ts';

/** Between two calls. */
const FIRST_WAIT = 0.5 * SECOND;
const LONGEST_WAIT = 5 * SECOND;

export class Repetition {
  readonly #inFlight = new Set<Promise<void>>();
  readonly #wakes = new Set<() => void>();
  #isClosed = false;

  /** `close` waits for it. @param work never rejects. */
  watch(work: Promise<void>): void {
    this.#inFlight.add(work);
    void work.then(() => this.#inFlight.delete(work));
  }

  /**
   * Makes a call until its answer `isEnough`, or the end of the hold is near. Resolves to the last answer, if there was any.
   *
   * @param heard what it has answered before.
   */
  async untilNear<Answer>(
    call: () => Promise<Answer | Near>,
    isEnough: (answer: Answer | Error) => boolean,
    heard?: Answer,
  ): Promise<Answer | Near | Error> {
    let last: Answer | Near | Error = 'near';
    let answer = heard ?? (await call().catch(toError));
    for (let wait = FIRST_WAIT; answer !== 'near'; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      last = answer;
      if (isEnough(answer) || this.#isClosed) break;
      await this.#pause(wait);
      answer = await call().catch(toError);
    }
    return last;
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

  /** Whatever waits for its next call makes it now: it is the last. */
  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    for (const wake of [...this.#wakes]) wake();
    await doneWithin(grace, Promise.all(this.#inFlight));
  }
}
