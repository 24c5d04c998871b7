/** The signs of life of the watched thread, in memory that the watchdog's thread can read while the other is blocked. */

const [BEAT_AT, WORK_SINCE] = [0, 1];
const TIMES_BYTES = 2 * Float64Array.BYTES_PER_ELEMENT;
const BYTES = TIMES_BYTES + Int32Array.BYTES_PER_ELEMENT;

export class Heartbeat {
  readonly memory: SharedArrayBuffer;
  readonly #times: Float64Array;
  readonly #beats: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.memory = memory;
    this.#times = new Float64Array(memory, 0, 2);
    this.#beats = new Int32Array(memory, TIMES_BYTES, 1);
  }

  /** The event loop turns: its timer has fired. */
  beat(at: number): void {
    this.#times[BEAT_AT] = at;
    Atomics.add(this.#beats, 0, 1);
  }

  /** A piece of work has begun or ended: what blocks from here on is not what ran before. */
  workChanged(at: number): void {
    this.#times[WORK_SINCE] = at;
  }

  get beats(): number {
    return Atomics.load(this.#beats, 0);
  }

  get beatAt(): number {
    return this.#times[BEAT_AT] as number;
  }

  get workSince(): number {
    return this.#times[WORK_SINCE] as number;
  }
}
