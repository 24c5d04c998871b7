/** Whether a thread has received what was sent to it last, in memory that both share: it is known there also when the thread has died. */

const [MISSING, GIVEN] = [0, 1];

export class Receipt {
  readonly memory: SharedArrayBuffer;
  readonly #flag: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#flag = new Int32Array(memory);
  }

  get isGiven(): boolean {
    return Atomics.load(this.#flag, 0) === GIVEN;
  }

  /** By the main thread, before it sends. */
  clear(): void {
    Atomics.store(this.#flag, 0, MISSING);
  }

  /** By the thread, before it runs anything of what it was sent. */
  give(): void {
    Atomics.store(this.#flag, 0, GIVEN);
  }
}
