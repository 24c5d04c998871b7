/** Waits between attempts, each twice as long as the one before. In milliseconds. */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor(firstMs: number, maxMs: number) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#nextMs = firstMs;
  }

  next(): number {
    const wait = this.#nextMs;
    this.#nextMs = Math.min(2 * wait, this.#maxMs);
    return wait;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
