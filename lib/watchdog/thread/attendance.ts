/** How much of a stretch of time the watched thread could have run in: samples of what the system counts, one a tick. */
import { sharedNow } from '../../clock.ts';
import { readScheduling, type Scheduling } from './scheduling.ts';

/** The thread that reads may lose its core while it does: what it read is of some moment in between. */
interface Sample extends Partial<Scheduling> {
  readonly askedAt: number;
  readonly readAt: number;
}

interface Interval {
  readonly begin: number;
  readonly end: number;
  readonly missedMs: number;
}

/** For how much of a span of time sampling kept the watched thread busy or paused. */
export interface Overhead {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
}

/** A tick that comes so many times later than it should was kept from running itself: with the whole process, or for want of a core. */
const LATE_TICK = 3;
/** Of a tick that came late: if the watched thread ran or waited for less of it, the process was stopped. */
const STOPPED_BELOW = 0.3;
const MOST_SAMPLES = 2_048;

export class Attendance {
  readonly #file: string | undefined;
  readonly #tickMs: number;
  #samples: Sample[] = [];

  constructor(file: string | undefined, tickMs: number) {
    this.#file = file;
    this.#tickMs = tickMs;
    this.sample();
  }

  sample(): void {
    const askedAt = sharedNow();
    const scheduling = readScheduling(this.#file);
    this.#samples.push({ ...scheduling, askedAt, readAt: sharedNow() });
    if (this.#samples.length > MOST_SAMPLES) this.#samples.splice(0, MOST_SAMPLES / 2);
  }

  /**
   * How long the machine has kept the watched thread from running since then, at most, in milliseconds. The sample's
   * interval that `from` lies in does not tell on which side of it that was, and to tell of a block that was none is worse
   * than to tell of one too late.
   */
  missedSince(from: number): number {
    let missed = 0;
    for (const { end, missedMs } of this.#intervalsSince(from)) missed += Math.min(missedMs, end - from);
    return missed;
  }

  /** In milliseconds. Where the watched thread had no core, it was not sampling that held it up. */
  overheadOf(overheads: readonly Overhead[]): number {
    return overheads.reduce((sum, { from, to, ms }) => sum + Math.max(0, ms - this.#missedBetween(from, to)), 0);
  }

  /** The part of it that falls in between if it was spread evenly. */
  #missedBetween(from: number, to: number): number {
    let missed = 0;
    for (const { begin, end, missedMs } of this.#intervalsSince(from)) {
      const common = Math.min(end, to) - Math.max(begin, from);
      missed += (missedMs * Math.max(0, common)) / Math.max(end - begin, Number.MIN_VALUE);
    }
    return missed;
  }

  /** Between two samples each, the latest first. */
  *#intervalsSince(from: number): Generator<Interval> {
    let waited = 0;
    for (let index = this.#samples.length - 1; index > 0; index -= 1) {
      const [before, after] = [this.#samples[index - 1] as Sample, this.#samples[index] as Sample];
      if (after.readAt <= from) return;
      const passed = after.readAt - before.readAt;
      const ran = (after.ranMs ?? 0) - (before.ranMs ?? 0);
      // The system counts a wait when it ends: if it is longer than the interval, the rest was in those before.
      waited += (after.waitedMs ?? 0) - (before.waitedMs ?? 0);
      const waitedHere = Math.min(waited, passed);
      waited -= waitedHere;
      const wasStopped = passed > LATE_TICK * this.#tickMs && ran + waitedHere < STOPPED_BELOW * passed;
      yield { begin: before.askedAt, end: after.readAt, missedMs: wasStopped ? passed - ran : waitedHere };
    }
  }
}
