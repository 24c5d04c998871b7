/** The last outcomes, for `find(id)`. */
import type { Outcome } from './outcome.ts';

/**
 * A bounded memory: a task's place is its number modulo the limit, so that keeping an outcome is a single write, and
 * it stays until the task that came `limit` tasks after it has settled.
 */
export class History {
  readonly #limit: number;
  readonly #outcomes: (Outcome | undefined)[];

  constructor(limit: number) {
    this.#limit = limit;
    this.#outcomes = new Array(limit);
  }

  keep(number: number, outcome: Outcome): void {
    if (this.#limit > 0) this.#outcomes[number % this.#limit] = outcome;
  }

  /** The outcome in the task's place. It may be another task's: compare the ids. */
  find(number: number): Outcome | undefined {
    return this.#outcomes[number % this.#limit];
  }
}
