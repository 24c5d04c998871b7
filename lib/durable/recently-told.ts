/** What was told a while ago, and is no news until then. */
import { SECOND } from '../time/timers.ts';

/** What repeats for longer than this is told again. */
const REPEAT_AFTER = 60 * SECOND;
/** Others may make ever new ones: names, and what a server says of what it was sent. */
const MOST = 1_000;
/** All that are too many. */
const OTHERS = Symbol('others');

export class RecentlyTold {
  readonly #knownUntil = new Map<string | typeof OTHERS, number>();

  /** @param period for how many milliseconds it is none from here on. */
  isNews(what: string, period: number = REPEAT_AFTER): boolean {
    const now = performance.now();
    const told = this.#knownUntil.has(what) || this.#hasRoom(now) ? what : OTHERS;
    if ((this.#knownUntil.get(told) ?? now) > now) return false;
    this.#knownUntil.set(told, now + period);
    return true;
  }

  #hasRoom(now: number): boolean {
    if (this.#knownUntil.size < MOST) return true;
    for (const [known, until] of this.#knownUntil) if (until <= now) this.#knownUntil.delete(known);
    return this.#knownUntil.size < MOST;
  }
}
