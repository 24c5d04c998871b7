/** How long tasks waited and ran, as percentiles over the life of the instance. */
import type { Outcome } from './outcome.ts';

/** A distribution of durations, in milliseconds. All `0` before the first task. */
export interface Percentiles {
  /** Half of the tasks took no longer; at most 1/16 above the truth, as the next two. */
  readonly p50: number;
  /** Nine of ten took no longer. */
  readonly p90: number;
  /** All but one of a hundred took no longer. */
  readonly p99: number;
  /** The longest. */
  readonly max: number;
  readonly mean: number;
}

const MICROSECONDS = 1_000;

/** How many steps each doubling of a duration is divided into: a percentile is at most 1/16 above the truth. */
const STEPS = 16;
const DOUBLINGS = 40;

/**
 * Durations from a microsecond to twelve days, counted by size. Recording one is an addition: the histogram of
 * `node:perf_hooks` takes a hundred times as long, which every task would pay.
 */
class Histogram {
  readonly #counts = new Float64Array(STEPS * DOUBLINGS);
  #count = 0;
  #sum = 0;
  #max = 0;

  record(milliseconds: number): void {
    const microseconds = milliseconds * MICROSECONDS;
    const doubling = microseconds < 1 ? 0 : Math.min(DOUBLINGS - 1, Math.floor(Math.log2(microseconds)));
    const step = Math.max(0, Math.min(STEPS - 1, Math.floor((microseconds / 2 ** doubling - 1) * STEPS)));
    const index = doubling * STEPS + step;
    this.#counts[index] = (this.#counts[index] as number) + 1;
    this.#count += 1;
    this.#sum += milliseconds;
    if (milliseconds > this.#max) this.#max = milliseconds;
  }

  get percentiles(): Percentiles {
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((part) => this.#at(part)) as [number, number, number];
    return { p50, p90, p99, max: this.#max, mean: this.#count === 0 ? 0 : this.#sum / this.#count };
  }

  /** The upper end of the step in which the given part of all durations is reached. */
  #at(part: number): number {
    let left = Math.ceil(this.#count * part);
    if (left === 0) return 0;
    const index = this.#counts.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    const upperEnd = (2 ** Math.floor(index / STEPS) * (1 + ((index % STEPS) + 1) / STEPS)) / MICROSECONDS;
    return Math.min(upperEnd, this.#max);
  }
}

export class Durations {
  readonly #waited = new Histogram();
  readonly #ran = new Histogram();

  record(outcome: Outcome): void {
    if (outcome.attempts === 0) return;
    this.#waited.record(outcome.waitedMs);
    this.#ran.record(outcome.ranMs);
  }

  get waitedMs(): Percentiles {
    return this.#waited.percentiles;
  }

  get ranMs(): Percentiles {
    return this.#ran.percentiles;
  }
}
