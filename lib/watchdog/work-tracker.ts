/** Follows which work the watched thread is in, so that a stall can be traced to it. */

import { type RunningTask, taskContext } from '../current-task.ts';
import { sharedNow } from '../time/clock.ts';
import { nextTick, queueMicrotask } from '../time/real-time.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { CurrentWork } from './stack-sample.ts';
import type { SampledWork, TaskTurn } from './stall.ts';

/** A task's turn is remembered if it took at least this part of the threshold. */
const LONG_TURN = 0.5;

/** What has happened since the last heartbeat. */
interface TrackedWork {
  /** How often known work began or ended. */
  readonly workChanges: number;
  readonly taskTurns: readonly TaskTurn[];
  readonly sampledWork: SampledWork | undefined;
}

export class WorkTracker {
  readonly #heartbeat: Heartbeat;
  readonly #longMs: number;
  #workChanges = 0;
  #taskTurns: TaskTurn[] = [];
  #sampled: SampledWork | undefined;
  /** The same as `#sampled`, until that work is known to be over. */
  #open: SampledWork | undefined;

  constructor(heartbeat: Heartbeat, threshold: number) {
    this.#heartbeat = heartbeat;
    this.#longMs = threshold * LONG_TURN;
  }

  /** To be called when a piece of work begins or ends. Returns the time. */
  changed(): number {
    this.#workChanges += 1;
    const at = sharedNow();
    this.#heartbeat.workChanged(at);
    if (this.#open !== undefined) {
      this.#open.endedAt = at;
      this.#open = undefined;
    }
    return at;
  }

  ended(task: RunningTask, from: number): void {
    const to = this.changed();
    if (to - from >= this.#longMs) this.#taskTurns.push({ task, from, to });
  }

  /** To be called before each heartbeat. */
  take(): TrackedWork {
    const [workChanges, taskTurns, sampled] = [this.#workChanges, this.#taskTurns, this.#sampled];
    [this.#workChanges, this.#taskTurns] = [0, []];
    return { workChanges, taskTurns, sampledWork: sampled?.beats === this.#heartbeat.beats ? sampled : undefined };
  }

  /** By default, the task is the one whose async context the thread is in. */
  currentWork(task = taskContext.getStore()): CurrentWork {
    const { beats, workSince } = this.#heartbeat;
    if (this.#sampled?.beats !== beats) this.#sampled = this.#follow(beats, workSince, task);
    const isFirstSeen = this.#open === this.#sampled && !this.#sampled.hasReturned;
    return { beats, since: workSince, isFirstSeen, task: task && { id: task.id, name: task.name } };
  }

  #follow(beats: number, since: number, task: RunningTask | undefined): SampledWork {
    const sampledAt = sharedNow();
    const work: SampledWork = { beats, task, sampledAt, since, endedAt: sampledAt, hasReturned: false };
    this.#open = work;
    const probe = (): void => {
      work.hasReturned = true;
      if (this.#open === work) work.endedAt = sharedNow();
    };
    // Work that is not a task reports no end. Two probes find it: the microtask runs after the code queued so far, the
    // `nextTick` after all promise callbacks that followed from it. The thread may be paused in the middle of Node's queue
    // of ticks, where one more would be overlooked and all later ones with it: only the microtask may add to it.
    queueMicrotask(() => {
      probe();
      nextTick(probe);
    });
    return work;
  }
}
