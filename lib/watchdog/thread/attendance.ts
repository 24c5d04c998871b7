/** How much of a stretch of time the watched thread could have run in: samples of what the system counts, one a tick. */
import { sharedNow } from '../../clock.ts';
import { readScheduling, type Scheduling } from './scheduling.ts';

interface Sample extends Partial<Scheduling> {
  readonly at: number;
}

/** A stretch of time, and how much of it the watched thread stood still for a look. */
export interface Hold {
  readonly from: number;
  readonly to: number;
  readonly heldMs: number;
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
    this.#samples.push({ at: sharedNow(), ...readScheduling(this.#file) });
    if (this.#samples.length > MOST_SAMPLES) this.#samples.splice(0, MOST_SAMPLES / 2);
  }

  /** How long the machine has kept the watched thread from running in the meantime, in milliseconds. */
  missedBetween(from: number, to = Number.POSITIVE_INFINITY): number {
    let missed = 0;
    for (let index = this.#samples.length - 1; index > 0; index -= 1) {
      const [before, after] = [this.#samples[index - 1] as Sample, this.#samples[index] as Sample];
      if (after.at <= from) break;
      const common = Math.min(after.at, to) - Math.max(before.at, from);
      const part = Math.max(0, common) / Math.max(after.at - before.at, Number.MIN_VALUE);
      missed += part * this.#missedIn(before, after);
    }
    return missed;
  }

  /** A thread that had no core in the middle of a look was not held up by it. */
  heldBy(holds: readonly Hold[]): number {
    return holds.reduce((sum, { from, to, heldMs }) => sum + Math.max(0, heldMs - this.missedBetween(from, to)), 0);
  }

  #missedIn(before: Sample, after: Sample): number {
    const passed = after.at - before.at;
    const waited = (after.waitedMs ?? 0) - (before.waitedMs ?? 0);
    const ran = (after.ranMs ?? 0) - (before.ranMs ?? 0);
    const wasStopped = passed > LATE_TICK * this.#tickMs && ran + waited < STOPPED_BELOW * passed;
    return wasStopped ? passed - ran : waited;
  }
}
