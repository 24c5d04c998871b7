/** How much of the watched thread's time sampling may take: a sample takes longer the larger the thread's heap is. */
import { sharedNow } from '../../time/clock.ts';
import { SECOND } from '../../time/timers.ts';

/** The most that can be saved up. */
const MOST_SAVED = 2 * SECOND;
/** This part of the time that passes is added to what is saved. */
const SHARE = 0.01;

export class SamplingBudget {
  #savedMs = MOST_SAVED;
  #at = sharedNow();

  get isSpent(): boolean {
    const now = sharedNow();
    this.#savedMs = Math.min(MOST_SAVED, this.#savedMs + (now - this.#at) * SHARE);
    this.#at = now;
    return this.#savedMs <= 0;
  }

  spend(ms: number): void {
    this.#savedMs -= ms;
  }
}
