/** How many of the waiting tasks go to a thread at once: learned from how long each kind of task has run. */
import type { TaskTarget } from '../task.ts';
import { LARGEST_BATCH } from './ledger.ts';

/** A batch is made for so much work, in milliseconds: more would keep what waits behind it from a thread that is free. */
const WORK_OF_A_BATCH = 1;

/** How much of what a task took goes into what the next of its kind is expected to take. */
const TRUST = 0.2;

/**
 * A task that takes longer than so many times what was expected counts as if it had taken this: a thread that the machine
 * let wait for a core says little about its task. One that has really become slower is known after a few.
 */
const MOST_BELIEVED = 4;

/** What is expected at least, in milliseconds: shorter ones differ in nothing that matters here. */
const SHORTEST = 0.01;

export class BatchPlan {
  /** What each task takes, in milliseconds. One that has not run yet is not here: it goes alone. */
  readonly #expected = new WeakMap<TaskTarget, number>();

  learn(target: TaskTarget, ranMs: number): void {
    const expected = this.#expected.get(target);
    if (expected === undefined) this.#expected.set(target, ranMs);
    else this.#expected.set(target, expected + (believable(ranMs, expected) - expected) * TRUST);
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

function believable(ranMs: number, expected: number): number {
  return Math.min(ranMs, MOST_BELIEVED * Math.max(expected, SHORTEST));
}
