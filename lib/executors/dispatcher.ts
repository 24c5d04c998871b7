/** Who gets what waits: which jobs go to which worker, how many at once, and when. */

import { transferListOf } from '../move.ts';
import { Queue } from '../queue.ts';
import { hasStack } from '../stack.ts';
import type { TaskTarget } from '../task.ts';
import { setTimeout } from '../time/real-time.ts';
import { toError } from '../to-error.ts';
import { BatchPlan } from './batch-plan.ts';
import type { Job } from './job.ts';
import { lostArguments } from './lost-values.ts';
import type { Notifications } from './notifications.ts';
import { TurnBudget } from './turn-budget.ts';
import type { WorkerSlot } from './worker-slot.ts';
import type { Workforce } from './workforce.ts';

/** While tasks are added one after the other, workers are asked whether they take more each time this many wait. */
const ASK_EVERY = 32;

/** A batch that takes longer, in milliseconds, was misjudged: what it has not begun is taken back. */
const LONGEST_BATCH = 5;

export class Dispatcher {
  readonly #workforce: Workforce;
  readonly #notifications: Notifications;
  readonly #takesBatches: boolean;
  readonly #queue = new Queue<Job>();
  readonly #plan = new BatchPlan();
  readonly #turn = new TurnBudget(() => this.#turned());
  /** Whether what waits is given out when the loop has turned, and not before. */
  #isPostponed = false;
  #isAsking = false;

  constructor(workforce: Workforce, notifications: Notifications, takesBatches: boolean) {
    this.#workforce = workforce;
    this.#notifications = notifications;
    this.#takesBatches = takesBatches;
  }

  add(job: Job): void {
    if (this.#giveAtOnce(job)) return;
    this.#queue.push(job);
    this.#dispatch();
    if (this.#takesBatches && this.#queue.size % ASK_EVERY === 0 && hasStack()) this.#askWorkers();
  }

  /** Takes back one that waits. */
  remove(job: Job): void {
    this.#queue.remove(job);
  }

  /** Takes back the next of those that wait. */
  shift(): Job | undefined {
    return this.#queue.shift();
  }

  /** How long a task has run helps to tell how long its next runs will take. */
  learn(target: TaskTarget, ranMs: number): void {
    this.#plan.learn(target, ranMs);
  }

  /** A worker is free, or what one had waits again. */
  freed(): void {
    // Answers of workers that were asked within `add` do not use up the budget: the code that adds holds the loop anyway.
    if (this.#queue.size > 0 && !this.#isAsking) this.#isPostponed ||= this.#turn.isSpent();
    this.#dispatch();
  }

  #turned(): void {
    if (!this.#isPostponed) return;
    this.#isPostponed = false;
    this.#dispatch();
  }

  /** Gives what waits to who is free, and starts workers for what is left. */
  #dispatch(): void {
    this.#distribute();
    this.#notifications.deliver();
  }

  /**
   * While one stretch of code adds many tasks, no messages are read, and workers that have ended theirs would stand
   * still: so they are asked. What they have done is told afterwards: events of other tasks within `add` would surprise.
   */
  #askWorkers(): void {
    if (this.#queue.size === 0) return;
    this.#isAsking = true;
    this.#notifications.deliverAfterwards(() => this.#workforce.report());
    this.#isAsking = false;
  }

  /** Where no task waits and a worker is free, there is nothing to decide. */
  #giveAtOnce(job: Job): boolean {
    if (this.#queue.size > 0 || this.#isPostponed) return false;
    const slot = this.#workforce.take();
    if (slot === undefined) return false;
    this.#give([job], slot);
    this.#notifications.deliver();
    return true;
  }

  #distribute(): void {
    while (this.#queue.size > 0 && !this.#isPostponed) {
      const { free } = this.#workforce;
      const slot = this.#workforce.take();
      if (slot === undefined) break;
      const size = this.#plan.sizeOf(this.#queue, Math.ceil(this.#queue.size / free));
      const jobs = Array.from({ length: size }, () => this.#queue.shift() as Job);
      this.#give(jobs as [Job], slot);
    }
    // Some are free where what waits was postponed: they take it when the loop has turned.
    while (this.#queue.size > this.#workforce.starting + this.#workforce.free) {
      if (!this.#workforce.startOne()) return;
    }
  }

  #give(jobs: [Job, ...Job[]], slot: WorkerSlot): void {
    const [first] = jobs;
    const { args, isLast } = first.attempt;
    try {
      slot.worker.run(
        jobs.map(({ message }) => message),
        first.isAlone && isLast ? transferListOf(args) : [],
      );
    } catch (thrown) {
      this.#workforce.putBack(slot);
      this.#notSent(jobs, jobs.length > 1, thrown);
      return;
    }
    slot.occupy(jobs);
    for (const [place, job] of jobs.entries()) job.giveTo(slot, place);
    if (jobs.length > 1) {
      slot.batchTimer ??= setTimeout(() => this.#shorten(slot), LONGEST_BATCH).unref();
      slot.batchTimer.refresh();
    }
    // Told after it was sent: a `started` listener that cancels it must not overtake it.
    this.#notifications.started(first, performance.now());
  }

  /** Each was copied at `add`. Either one of a batch cannot be sent all the same, or they are too much at once: each goes alone. */
  #notSent(jobs: readonly Job[], isBatch: boolean, thrown: unknown): void {
    if (isBatch) {
      for (const job of jobs) job.keepAlone();
      this.requeue(jobs);
      return;
    }
    for (const job of jobs) this.#endUnsent(job, lostArguments(job.attempt.facts.name, toError(thrown)));
  }

  #endUnsent(job: Job, thrown: Error): void {
    job.couldNotBeSent();
    this.#notifications.ended({ job, result: { ok: false, thrown } });
  }

  /**
   * A worker cannot read what it was given. Some of a batch may have been taken back by now: one that is left need not be
   * the one that cannot be read.
   */
  unreadable(slot: WorkerSlot, reason: string): void {
    const { jobs, hasBatch } = slot;
    slot.jobs = [];
    this.#notSent(jobs, hasBatch, new Error(reason));
    slot.vacate();
    this.#workforce.release(slot);
  }

  /** A batch takes too long: what it has not begun goes to other workers. */
  #shorten(slot: WorkerSlot): void {
    slot.worker.report();
    const recalled = slot.jobs.filter(({ state, place }) => state === 'given' && slot.worker.recall(place));
    for (const job of recalled) slot.drop(job);
    this.requeue(recalled);
    // One that has begun in between reports nothing until it ends, which may be never: asked now, its time limit starts.
    if (slot.jobs.some(({ state }) => state === 'given')) slot.worker.report();
    this.#dispatch();
  }

  /**
   * In front of what waits, and in the order in which they were. One that was told to stop ends instead: given out again,
   * it would run, and nobody would end it.
   */
  requeue(jobs: readonly Job[]): void {
    for (const job of [...jobs].reverse()) {
      if (job.abortReason !== undefined) {
        this.#endUnsent(job, job.abortReason);
        continue;
      }
      job.takeBack();
      this.#queue.unshift(job);
    }
  }
}
