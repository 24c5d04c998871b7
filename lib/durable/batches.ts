/** Calls to an engine: what comes while calls are under way goes together in the next. */

/** A call costs a round trip, and an engine that commits to disk does few at once; more of them only get into each other's way. */
const MOST_CALLS = 2;
const MOST_ITEMS = 500;

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

export class Batches<Item, Result> {
  readonly #send: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #mostCalls: number;
  #waiting: Waiting<Item, Result>[] = [];
  #calls = 0;
  #isFlushing = false;

  /** @param send must settle in bounded time. */
  constructor(send: (items: readonly Item[]) => Promise<readonly Result[]>, mostCalls: number = MOST_CALLS) {
    this.#send = send;
    this.#mostCalls = mostCalls;
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#isFlushing) return;
      this.#isFlushing = true;
      // The rest of a handler's tasks is added in the same turn.
      queueMicrotask(() => {
        this.#isFlushing = false;
        this.#flush();
      });
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#calls < this.#mostCalls) {
      const batch = this.#waiting.splice(0, MOST_ITEMS);
      this.#calls += 1;
      void this.#call(batch).finally(() => {
        this.#calls -= 1;
        this.#flush();
      });
    }
  }

  async #call(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#send(batch.map(({ item }) => item));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result);
    } catch (thrown) {
      for (const { reject } of batch) reject(thrown);
    }
  }
}
