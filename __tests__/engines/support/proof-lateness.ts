/** How late a machine is that has more to do than it can. */
import { atEnd } from '../../support/cleanup.ts';

const TICK = 20;
/** A timer counts whole milliseconds. */
const PUNCTUAL = 5;
/** This many times at most somebody waits for a turn between the moment at which a task may run and its start. */
const TURNS = 10;

/** Asks for a turn again and again, and notes how long that takes. Ends with the test. */
export class Lateness {
  readonly #waits: number[] = [];

  constructor() {
    let before = performance.now();
    const timer = setInterval(() => {
      const late = performance.now() - before - TICK;
      before = performance.now();
      if (late > PUNCTUAL) this.#waits.push(late);
    }, TICK);
    atEnd(() => clearInterval(timer));
  }

  /** What the machine may have added so far to the time until the start of a task, in milliseconds. */
  get ms(): number {
    const longest = this.#waits.sort((one, other) => other - one).slice(0, TURNS);
    return longest.reduce((sum, wait) => sum + wait, 0);
  }
}
