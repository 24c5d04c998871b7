/** Gathers items into few calls: what is added while calls are in flight goes together in the next. */
import { queueMicrotask } from '../time/real-time.ts';

/** How many calls are in flight at once. An engine that commits to disk does few at a time: more would only wait for each other. */
const MOST_CALLS = 2;
/** In one call. */
const MOST_ITEMS = 500;
/** In one call, unless a single item is larger: it becomes one text and one statement, during which the event loop stands still. */
const MOST_BYTES = 2 ** 20;

interface BatchesOptions<Item> {
  readonly mostCalls?: number;
  /** How much of the call an item takes; where none is given, so little that it need not be limited. */
  readonly bytesOf?: (item: Item) => number;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

export class Batches<Item, Result> {
  readonly #send: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #mostCalls: number;
  readonly #bytesOf: (item: Item) => number;
  #waiting: Waiting<Item, Result>[] = [];
  #calls = 0;
  #isFlushing = false;

  /** @param send makes one call. It must settle, since others wait for it. Its results are in the order of the items. */
  constructor(
    send: (items: readonly Item[]) => Promise<readonly Result[]>,
    { mostCalls = MOST_CALLS, bytesOf = () => 0 }: BatchesOptions<Item> = {},
  ) {
    this.#send = send;
    this.#mostCalls = mostCalls;
    this.#bytesOf = bytesOf;
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#isFlushing) return;
      this.#isFlushing = true;
      // Most handlers add all their tasks in one turn of the event loop: wait for the rest of it.
      queueMicrotask(() => {
        this.#isFlushing = false;
        this.#flush();
      });
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#calls < this.#mostCalls)
      void this.#call(this.#waiting.splice(0, this.#nextSize()));
  }

  /** How many of the waiting items go together in the next call. */
  #nextSize(): number {
    let bytes = 0;
    for (const [index, { item }] of this.#waiting.entries()) {
      bytes += this.#bytesOf(item);
      if (index === MOST_ITEMS || (index > 0 && bytes > MOST_BYTES)) return index;
    }
    return this.#waiting.length;
  }

  async #call(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    this.#calls += 1;
    try {
      const results = await this.#send(batch.map(({ item }) => item));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result);
    } catch (thrown) {
      for (const { reject } of batch) reject(thrown);
    }
    this.#calls -= 1;
    this.#flush();
  }
}
