/**
 * Whether a thread has received what was sent to it last, and whether it is about to exit, in memory that both share: it is
 * known there also when the thread has died.
 */

const [MISSING, GIVEN] = [0, 1];
const [RECEIVED_AT, LEAVING_AT] = [0, 1];
const BYTES = 2 * Int32Array.BYTES_PER_ELEMENT;

export class Receipt {
  readonly memory: SharedArrayBuffer;
  readonly #flags: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.memory = memory;
    this.#flags = new Int32Array(memory);
  }

  get isGiven(): boolean {
    return Atomics.load(this.#flags, RECEIVED_AT) === GIVEN;
  }

  get isLeaving(): boolean {
    return Atomics.load(this.#flags, LEAVING_AT) === 1;
  }

  /** By the main thread, before it sends. */
  clear(): void {
    Atomics.store(this.#flags, RECEIVED_AT, MISSING);
  }

  /** By the thread, before it runs anything of what it was sent. */
  give(): void {
    Atomics.store(this.#flags, RECEIVED_AT, GIVEN);
  }

  /** By the thread, when it exits. One that is ended, or has no memory left, cannot say so. */
  leave(): void {
    Atomics.store(this.#flags, LEAVING_AT, 1);
  }
}
