/** How many of the waiting tasks go to a thread at once: learned from how long each kind of task has run. */
import type { TaskTarget } from '../task.ts';
import { LARGEST_BATCH } from './batch-ledger.ts';

/** The expected work of a batch, in milliseconds: with more, the last of it would wait while another thread is free. */
const WORK_OF_A_BATCH = 1;

/** The weight of the latest run in what the next run of the same task is expected to take. */
const TRUST = 0.2;

/**
 * A run that took longer than this many times the expected counts as that long: its thread may have waited for a core,
 * which says little about the task. A task that has really become slower is known after a few runs.
 */
const MOST_BELIEVED = 4;

/** The least that is expected of any task, in milliseconds: differences below it do not matter here. */
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
