/** The last outcomes, for `find(id)`. */
import type { Outcome } from './outcome.ts';

/**
 * A ring of the outcomes that came last. An outcome's turn is how many there were with it; its place is its turn modulo
 * the limit. Tasks whose numbers are the same modulo the limit share a chain: `#latest` has the turn of the newest,
 * `#earlier` that of the one before. A chain ends at the first turn that is not in the ring any more, so that keeping
 * an outcome is a few writes, and nothing is ever taken out.
 */
export class History {
  readonly #limit: number;
  readonly #outcomes: (Outcome | undefined)[];
  readonly #latest: Float64Array;
  readonly #earlier: Float64Array;
  #turn = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#outcomes = new Array(limit);
    this.#latest = new Float64Array(limit);
    this.#earlier = new Float64Array(limit);
  }

  keep(number: number, outcome: Outcome): void {
    if (this.#limit === 0) return;
    this.#turn += 1;
    const place = this.#turn % this.#limit;
    const chain = number % this.#limit;
    this.#outcomes[place] = outcome;
    this.#earlier[place] = this.#latest[chain] as number;
    this.#latest[chain] = this.#turn;
  }

  /** @param number the task's, which may have been read from an id that is none. */
  find(number: number, id: string): Outcome | undefined {
    const gone = Math.max(0, this.#turn - this.#limit);
    let turn = this.#latest[number % this.#limit] ?? 0;
    while (turn > gone) {
      const outcome = this.#outcomes[turn % this.#limit];
      if (outcome?.id === id) return outcome;
      turn = this.#earlier[turn % this.#limit] as number;
    }
    return undefined;
  }
}
