/** Counts requests, and those among them that had to wait for a stall to end. */
import { sharedNow } from '../time/clock.ts';
import { nextTurn } from '../time/real-time.ts';

/** After so many turns of the loop without a new request, all that had waited have been counted. */
const QUIET_TURNS = 2;
/** A busy server has no such turns: then the count ends so many milliseconds after the stall. */
const LONGEST_COUNT = 50;

export class RequestCounter {
  #count = 0;

  add(): void {
    this.#count += 1;
  }

  /** To be called when the stall has just ended: it takes several turns, since the loop accepts one connection a turn. */
  async countWaiting(stalledUntil: number): Promise<number> {
    const before = this.#count;
    let seen = before;
    let quietTurns = 0;
    while (quietTurns < QUIET_TURNS && sharedNow() - stalledUntil < LONGEST_COUNT) {
      await nextTurn();
      quietTurns = this.#count === seen ? quietTurns + 1 : 0;
      seen = this.#count;
    }
    return this.#count - before;
  }
}
