/** How much of the watched thread's time may go into looking at it: a look takes longer the larger its heap is. */
import { sharedNow } from '../../clock.ts';

/** Saved up at most, in milliseconds. */
const MOST_SAVED = 2_000;
/** Of the time that passes. */
const SHARE = 0.01;

export class LookBudget {
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
