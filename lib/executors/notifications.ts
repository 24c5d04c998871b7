/** Starts and ends of jobs that workers have reported, until the runs are told of them. */
import { NOWHERE } from '../async-context.ts';
import { queueMicrotask } from '../time/real-time.ts';
import type { AttemptResult } from './executor.ts';
import type { Job } from './job.ts';

/** A job that has ended: when it began, where only now that is known, and how long its code ran. */
export interface EndOfJob {
  readonly job: Job;
  readonly result: AttemptResult;
  readonly startedAt?: number | undefined;
  readonly ranMs?: number | undefined;
}

/** Everything is told in the order in which it happened to a worker: the ends of what ran there before the next start. */
export class Notifications {
  readonly #onEnd: (end: EndOfJob) => void;
  readonly #ends: EndOfJob[] = [];
  readonly #starts: { readonly job: Job; readonly at: number }[] = [];
  /** Whether they are being told, or will be in a moment. */
  #isDelivering = false;

  constructor(onEnd: (end: EndOfJob) => void) {
    this.#onEnd = onEnd;
  }

  started(job: Job, at: number): void {
    this.#starts.push({ job, at });
  }

  ended(end: EndOfJob): void {
    this.#ends.push(end);
  }

  /** Tells all that there is, what comes up meanwhile included. */
  deliver(): void {
    if (this.#isDelivering || this.#ends.length + this.#starts.length === 0) return;
    this.#isDelivering = true;
    NOWHERE.runInAsyncScope(this.#deliverAll, this);
    this.#isDelivering = false;
  }

  /** Tells nothing while `hear` runs. What it brings up is told in a microtask, after the code that runs now. */
  deliverAfterwards(hear: () => void): void {
    const isDelivering = this.#isDelivering;
    this.#isDelivering = true;
    hear();
    if (isDelivering) return;
    queueMicrotask(() => {
      this.#isDelivering = false;
      this.deliver();
    });
  }

  #deliverAll(): void {
    while (this.#ends.length + this.#starts.length > 0) {
      for (const end of this.#ends.splice(0)) this.#onEnd(end);
      for (const { job, at } of this.#starts.splice(0)) job.start(at);
    }
  }
}
