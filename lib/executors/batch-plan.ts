/** How many of the waiting tasks go to a thread at once: learned from how long each kind of task has run. */
import type { TaskTarget } from '../task.ts';
import { LARGEST_BATCH } from './ledger.ts';

/** A batch is made for so much work, in milliseconds: more would keep what waits behind it from a thread that is free. */
const WORK_OF_A_BATCH = 0.5;

/** How fast a kind of task that has become quicker is believed. One that has become slower is believed at once. */
const TRUST = 0.2;

export class BatchPlan {
  /** What each task takes, in milliseconds. One that has not run yet is not here: it goes alone. */
  readonly #expected = new WeakMap<TaskTarget, number>();

  learn(target: TaskTarget, ranMs: number): void {
    const expected = this.#expected.get(target);
    const isSlower = expected === undefined || ranMs > expected;
    this.#expected.set(target, isSlower ? ranMs : expected + (ranMs - expected) * TRUST);
  }

  /**
   * How many of `waiting`, in their order, make one batch; at least one.
   *
   * @param share how many of them are this worker's: what the other free ones could take is left to them.
   */
  sizeOf(
    waiting: Iterable<{ readonly attempt: { readonly target: TaskTarget }; readonly isAlone: boolean }>,
    share: number,
  ): number {
    const limit = Math.min(share, LARGEST_BATCH);
    if (limit <= 1) return 1;
    let size = 0;
    let work = 0;
    for (const { attempt, isAlone } of waiting) {
      work += isAlone ? Number.POSITIVE_INFINITY : (this.#expected.get(attempt.target) ?? Number.POSITIVE_INFINITY);
      if (size > 0 && work > WORK_OF_A_BATCH) break;
      size += 1;
      if (size >= limit || work > WORK_OF_A_BATCH) break;
    }
    return size;
  }
}
