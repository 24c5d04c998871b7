/**
 * What becomes of the tasks of a batch, in memory that the main thread and the worker thread share: it is known there
 * also when the thread has died, and telling it takes no message.
 */
import { CLOCK_OFFSET, sharedNow } from '../time/clock.ts';

/** The most tasks that go to a thread at once. */
export const LARGEST_BATCH = 256;

/** Where a task of the batch is. A waiting one is claimed by the thread, and runs, or by the main thread, and is recalled. */
const STATE = { waiting: 0, running: 1, ended: 2, told: 3, recalled: 4 } as const;
type PlaceState = keyof typeof STATE;
const STATE_NAMES = Object.keys(STATE) as readonly PlaceState[];

/** The kinds of value that fit in. Any other goes by a message. */
const KIND = { undefined: 0, null: 1, true: 2, false: 3, number: 4, string: 5 } as const;

/** In UTF-16, which keeps every string as it is. */
const LONGEST_STRING = 128;
const TEXT_BYTES = 2 * LONGEST_STRING;

const INTEGERS = 3;
const NUMBERS = 3;
const [STATE_AT, KIND_AT, LENGTH_AT] = [0, 1, 2];
const [STARTED_AT, ENDED_AT, VALUE_AT] = [0, 1, 2];

const NUMBERS_BEGIN = 0;
const INTEGERS_BEGIN = NUMBERS_BEGIN + LARGEST_BATCH * NUMBERS * Float64Array.BYTES_PER_ELEMENT;
const TEXTS_BEGIN = INTEGERS_BEGIN + LARGEST_BATCH * INTEGERS * Int32Array.BYTES_PER_ELEMENT;
const BYTES = TEXTS_BEGIN + LARGEST_BATCH * TEXT_BYTES;

export class BatchLedger {
  readonly memory: SharedArrayBuffer;
  readonly #integers: Int32Array;
  readonly #numbers: Float64Array;
  readonly #texts: Buffer;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.memory = memory;
    this.#numbers = new Float64Array(memory, NUMBERS_BEGIN, LARGEST_BATCH * NUMBERS);
    this.#integers = new Int32Array(memory, INTEGERS_BEGIN, LARGEST_BATCH * INTEGERS);
    this.#texts = Buffer.from(memory, TEXTS_BEGIN, LARGEST_BATCH * TEXT_BYTES);
  }

  /** For a new batch. To be called while the thread has none. */
  clear(size: number): void {
    for (let place = 0; place < size; place += 1) {
      Atomics.store(this.#integers, place * INTEGERS + STATE_AT, STATE.waiting);
    }
  }

  stateOf(place: number): PlaceState {
    return STATE_NAMES[Atomics.load(this.#integers, place * INTEGERS + STATE_AT)] as PlaceState;
  }

  /** By the thread, before it runs a task; `false` for one that was recalled. */
  claim(place: number): boolean {
    this.#numbers[place * NUMBERS + STARTED_AT] = sharedNow();
    return this.#replaceWaiting(place, STATE.running);
  }

  /** By the main thread: `false` for a task that the thread has begun. */
  recall(place: number): boolean {
    return this.#replaceWaiting(place, STATE.recalled);
  }

  /** By the thread. `false`, and nothing is written, for a value that has to go by a message. */
  end(place: number, value: unknown): boolean {
    const kind = this.#write(place, value);
    if (kind === undefined) return false;
    this.#integers[place * INTEGERS + KIND_AT] = kind;
    this.#close(place, STATE.ended);
    return true;
  }

  /** By the thread, when the message is on its way. */
  endByMessage(place: number): void {
    this.#close(place, STATE.told);
  }

  startedAt(place: number): number {
    return (this.#numbers[place * NUMBERS + STARTED_AT] as number) - CLOCK_OFFSET;
  }

  ranMs(place: number): number {
    const at = place * NUMBERS;
    return (this.#numbers[at + ENDED_AT] as number) - (this.#numbers[at + STARTED_AT] as number);
  }

  /** Of a task that has `ended`. */
  valueOf(place: number): unknown {
    switch (this.#integers[place * INTEGERS + KIND_AT]) {
      case KIND.undefined:
        return undefined;
      case KIND.null:
        return null;
      case KIND.true:
        return true;
      case KIND.false:
        return false;
      case KIND.number:
        return this.#numbers[place * NUMBERS + VALUE_AT];
      default: {
        const begin = place * TEXT_BYTES;
        return this.#texts.toString(
          'utf16le',
          begin,
          begin + 2 * (this.#integers[place * INTEGERS + LENGTH_AT] as number),
        );
      }
    }
  }

  #write(place: number, value: unknown): number | undefined {
    switch (typeof value) {
      case 'undefined':
        return KIND.undefined;
      case 'boolean':
        return value ? KIND.true : KIND.false;
      case 'number':
        this.#numbers[place * NUMBERS + VALUE_AT] = value;
        return KIND.number;
      case 'string':
        if (value.length > LONGEST_STRING) return undefined;
        this.#texts.write(value, place * TEXT_BYTES, 'utf16le');
        this.#integers[place * INTEGERS + LENGTH_AT] = value.length;
        return KIND.string;
      default:
        return value === null ? KIND.null : undefined;
    }
  }

  #close(place: number, state: number): void {
    this.#numbers[place * NUMBERS + ENDED_AT] = sharedNow();
    // Last: whoever reads the state finds the rest written.
    Atomics.store(this.#integers, place * INTEGERS + STATE_AT, state);
  }

  #replaceWaiting(place: number, state: number): boolean {
    return Atomics.compareExchange(this.#integers, place * INTEGERS + STATE_AT, STATE.waiting, state) === STATE.waiting;
  }
}
