/** How long tasks waited and ran, as percentiles over the life of the instance. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Outcome } from './outcome.ts';

/** A distribution of durations, in milliseconds. All `0` before the first task. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly mean: number;
}

const MICROSECONDS = 1_000;

export class Durations {
  readonly #waited = createHistogram();
  readonly #ran = createHistogram();

  record(outcome: Outcome): void {
    if (outcome.attempts === 0) return;
    this.#waited.record(toMicroseconds(outcome.waitedMs));
    this.#ran.record(toMicroseconds(outcome.ranMs));
  }

  get waitedMs(): Percentiles {
    return percentilesOf(this.#waited);
  }

  get ranMs(): Percentiles {
    return percentilesOf(this.#ran);
  }
}

/** A histogram counts from 1: what took less than a microsecond took one. */
function toMicroseconds(milliseconds: number): number {
  return Math.max(1, Math.round(milliseconds * MICROSECONDS));
}

function percentilesOf(histogram: RecordableHistogram): Percentiles {
  if (histogram.count === 0) return { p50: 0, p90: 0, p99: 0, max: 0, mean: 0 };
  const at = (percentile: number): number => histogram.percentile(percentile) / MICROSECONDS;
  return {
    p50: at(50),
    p90: at(90),
    p99: at(99),
    max: histogram.max / MICROSECONDS,
    mean: histogram.mean / MICROSECONDS,
  };
}
