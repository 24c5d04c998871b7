/** The last outcomes, for `find(id)`. */
import type { Outcome } from './outcome.ts';

/** A bounded memory: the oldest outcome makes room for the newest. */
export class History {
  readonly #limit: number;
  // By the tasks' numbers. A Map keeps the order of insertion: its first key is the oldest.
  readonly #outcomes = new Map<number, Outcome>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  keep(number: number, outcome: Outcome): void {
    if (this.#limit === 0) return;
    if (this.#outcomes.size === this.#limit) this.#outcomes.delete(this.#outcomes.keys().next().value as number);
    this.#outcomes.set(number, outcome);
  }

  find(number: number): Outcome | undefined {
    return this.#outcomes.get(number);
  }
}
