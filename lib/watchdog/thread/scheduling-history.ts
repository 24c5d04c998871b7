/** For how long the machine kept the watched thread from running: what the system counts is read at each tick. */
import { readScheduling, type SchedulingReading } from './scheduling.ts';

/** What lies between two readings. */
interface Interval {
  readonly begin: number;
  readonly end: number;
  readonly descheduledMs: number;
}

/** For how much of a span of time sampling kept the watched thread busy or paused. */
export interface Overhead {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
}

/** A tick that took so many times its interval was delayed by the machine: the process was stopped, or the reading thread had no core. */
const LATE_TICK = 3;
/** The process was stopped during a late tick if the watched thread ran or waited for less than this part of the time. */
const STOPPED_BELOW = 0.3;
const MOST_READINGS = 2_048;

export class SchedulingHistory {
  readonly #file: string | undefined;
  readonly #tickMs: number;
  /** The watched thread's own, from before this thread had started. */
  readonly #first: SchedulingReading;
  readonly #readings: SchedulingReading[];

  constructor(file: string | undefined, tickMs: number, first: SchedulingReading) {
    this.#file = file;
    this.#tickMs = tickMs;
    this.#first = first;
    this.#readings = [first];
    this.record();
  }

  record(): void {
    this.#readings.push(readScheduling(this.#file));
    if (this.#readings.length > MOST_READINGS) this.#readings.splice(0, MOST_READINGS / 2);
  }

  /**
   * For how long the watched thread was kept from running since `from`, at most, in milliseconds. How much of the first
   * interval's lost time came before `from` is not known, and all that can have come after it counts: to report a block too
   * late is better than to report one that was none.
   */
  descheduledSince(from: number): number {
    let sum = 0;
    for (const { end, descheduledMs } of this.#intervalsSince(from)) sum += Math.min(descheduledMs, end - from);
    return sum;
  }

  /** In milliseconds. Where the watched thread had no core, it was not sampling that held it up. */
  overheadOf(overheads: readonly Overhead[]): number {
    return overheads.reduce((sum, { from, to, ms }) => sum + Math.max(0, ms - this.#descheduledBetween(from, to)), 0);
  }

  /** As if the lost time of each interval were spread evenly over it. */
  #descheduledBetween(from: number, to: number): number {
    let sum = 0;
    for (const { begin, end, descheduledMs } of this.#intervalsSince(from)) {
      const common = Math.min(end, to) - Math.max(begin, from);
      sum += (descheduledMs * Math.max(0, common)) / Math.max(end - begin, Number.MIN_VALUE);
    }
    return sum;
  }

  /** The latest first; the last one contains `from`. */
  *#intervalsSince(from: number): Generator<Interval> {
    let waited = 0;
    for (let index = this.#readings.length - 1; index > 0; index -= 1) {
      const [before, after] = [this.#readings[index - 1], this.#readings[index]] as [
        SchedulingReading,
        SchedulingReading,
      ];
      if (after.readAt <= from) return;
      const passed = after.readAt - before.readAt;
      const ran = (after.ranMs ?? 0) - (before.ranMs ?? 0);
      // The system counts a wait when it ends: what is longer than the interval belongs to the intervals before.
      waited += (after.waitedMs ?? 0) - (before.waitedMs ?? 0);
      const waitedHere = Math.min(waited, passed);
      waited -= waitedHere;
      // A thread takes its time to start: that its first reading comes late says nothing of the machine.
      const isLate = passed > LATE_TICK * this.#tickMs && before !== this.#first;
      const wasStopped = isLate && ran + waitedHere < STOPPED_BELOW * passed;
      yield { begin: before.askedAt, end: after.readAt, descheduledMs: wasStopped ? passed - ran : waitedHere };
    }
  }
}
