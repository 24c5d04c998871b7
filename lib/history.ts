/** The last outcomes, for `find(id)`. */
import type { Outcome } from './outcome.ts';

/** A bounded memory: the oldest outcome makes room for the newest. */
export class History {
  readonly #limit: number;
  // A Map keeps the order of insertion: its first key is the oldest.
  readonly #outcomes = new Map<string, Outcome>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  keep(outcome: Outcome): void {
    if (this.#limit === 0) return;
    if (this.#outcomes.size === this.#limit) {
      for (const oldest of this.#outcomes.keys()) {
        this.#outcomes.delete(oldest);
        break;
      }
    }
    this.#outcomes.set(outcome.id, outcome);
  }

  find(id: string): Outcome | undefined {
    return this.#outcomes.get(id);
  }
}
