/** The signs of life of the watched thread, in memory that the watchdog's thread reads while the other is blocked. */

const [BEAT_AT, TURN_AT] = [0, 1];
const TIMES = 2;
const [BEATS, LOOKING, ENDING] = [0, 1, 2];
const COUNTS = 3;
const BYTES = TIMES * Float64Array.BYTES_PER_ELEMENT + COUNTS * Int32Array.BYTES_PER_ELEMENT;

/** So long the end of a look is waited for, in milliseconds; and so long for the news of it. */
const LONGEST_LOOK = 200;
const NEWS = 2;

export class Pulse {
  readonly memory: SharedArrayBuffer;
  readonly #times: Float64Array;
  readonly #counts: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.memory = memory;
    this.#times = new Float64Array(memory, 0, TIMES);
    this.#counts = new Int32Array(memory, TIMES * Float64Array.BYTES_PER_ELEMENT, COUNTS);
  }

  /** The event loop turns: its timer has fired. */
  beat(at: number): void {
    this.#times[BEAT_AT] = at;
    Atomics.add(this.#counts, BEATS, 1);
  }

  /** A piece of work has begun or ended: what blocks from here on is not what ran before. */
  turn(at: number): void {
    this.#times[TURN_AT] = at;
  }

  get beatAt(): number {
    return this.#times[BEAT_AT] as number;
  }

  get turnAt(): number {
    return this.#times[TURN_AT] as number;
  }

  /** By the watchdog's thread, before it looks: `false` if it must not any more. */
  beginLook(): boolean {
    Atomics.store(this.#counts, LOOKING, 1);
    if (!this.isEnding) return true;
    this.endLook();
    return false;
  }

  endLook(): void {
    Atomics.store(this.#counts, LOOKING, 0);
    Atomics.notify(this.#counts, LOOKING);
  }

  get isEnding(): boolean {
    return Atomics.load(this.#counts, ENDING) === 1;
  }

  /**
   * By the watched thread, when the process exits: Node would say on stderr that it waits for a debugger, and do so. This
   * is a loop, and not one long wait, because only code that runs hears what the other side wants of it.
   */
  endLooks(): void {
    Atomics.store(this.#counts, ENDING, 1);
    const until = performance.now() + LONGEST_LOOK;
    while (Atomics.load(this.#counts, LOOKING) === 1) {
      if (performance.now() > until) return;
      Atomics.wait(this.#counts, LOOKING, 1, 1);
    }
    const heardBy = performance.now() + NEWS;
    while (performance.now() < heardBy);
  }

  get beats(): number {
    return Atomics.load(this.#counts, BEATS);
  }
}
