/** A pool of workers, threads or processes: which of them takes which tasks, and what becomes of these. */

import { AsyncResource } from 'node:async_hooks';
import { deferred } from '../deferred.ts';
import { transferListOf } from '../move.ts';
import { Queue } from '../queue.ts';
import { doneWithin } from '../timers.ts';
import { toError } from '../to-error.ts';
import { BatchPlan } from './batch-plan.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult, Executor, ExecutorStats } from './executor.ts';
import { attemptResultOf, Job } from './job.ts';
import type { Progress } from './pool-worker.ts';
import type { Seat, StartWorker } from './seat.ts';
import { TurnBudget } from './turn-budget.ts';
import type { StrayMessage } from './wire.ts';
import { Workforce, type WorkforceOptions } from './workforce.ts';

export interface WorkerPoolOptions extends WorkforceOptions {
  /** Whether several tasks may go to a worker at once. */
  readonly batch: boolean;
  readonly onStray: (task: StrayMessage['task'], error: Error) => void;
}

export interface WorkerPoolStats extends ExecutorStats {
  readonly workers: number;
  readonly idleWorkers: number;
  /** The part of the workers' time that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

/** What an attempt came to: with when it began, where only now that is known, and how long its code ran. */
interface End {
  readonly job: Job;
  readonly result: AttemptResult;
  readonly startedAt?: number | undefined;
  readonly ranMs?: number | undefined;
}

/** How long a task that was told to stop by its signal has until its worker is ended, in milliseconds. */
const ABORT_GRACE = 250;

/** While tasks are added one after the other, workers are asked after every so many whether they take more. */
const ASK_EVERY = 32;

/** A batch that takes longer, in milliseconds, was misjudged: what it has not begun is taken back. */
const LONGEST_BATCH = 5;

export class WorkerPool implements Executor {
  readonly #options: WorkerPoolOptions;
  readonly #queue = new Queue<Job>();
  readonly #plan = new BatchPlan();
  readonly #workforce: Workforce;
  /** How many attempts it has taken on that have not ended. */
  #size = 0;
  /** What has ended, and is still to be told of. */
  readonly #ends: End[] = [];
  /** What has started, and is still to be told of: after the ends of what ran there before. */
  readonly #starts: { readonly job: Job; readonly at: number }[] = [];
  /** Whether the news is being told, or will be in a moment. */
  #isTelling = false;
  /** Workers and news belong to no request, though it may be one that starts the former, or makes the latter heard. */
  readonly #neutral = new AsyncResource('BackgroundTaskPool');
  readonly #turn = new TurnBudget(() => this.#turned());
  /** Whether what waits is given out when the loop has turned, and not before. */
  #isPostponed = false;
  #isAsking = false;
  #whenEmpty: (() => void) | undefined;

  /** Throws what `start` throws, if `min` asks for workers at once. */
  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    const { start } = options;
    const startNeutrally: StartWorker = (observer) => this.#neutral.runInAsyncScope(start, undefined, observer);
    this.#workforce = new Workforce(
      { ...options, start: startNeutrally },
      {
        freed: () => this.#freed(),
        progressed: (seat, progress) => this.#progressed(seat, progress),
        stray: ({ task, error }) => options.onStray(task, toError(decodeError(error))),
        left: (seat, error) => this.#left(seat, error),
        failedToStart: (error) => this.#failWaiting(error),
      },
    );
  }

  execute(attempt: Attempt): void {
    const job = new Job(attempt, this.#options.batch);
    attempt.kept = job;
    this.#size += 1;
    if (this.#giveAtOnce(job)) return;
    this.#queue.push(job);
    this.#dispatch();
    if (this.#options.batch && this.#queue.size % ASK_EVERY === 0) this.#askWorkers();
  }

  abort(attempt: Attempt, reason: Error): void {
    const job = attempt.kept as Job;
    if (job.abortReason !== undefined) return;
    // It may have begun, or ended, without our having heard of it.
    if (job.state === 'given') job.holder?.worker.report();
    if (job.state === 'queued') {
      this.#queue.remove(job);
      this.#end(job, { ok: false, thrown: reason });
      return;
    }
    const { holder } = job;
    // It has ended, and its result is on its way to its run.
    if (holder === undefined) return;
    job.abortReason = reason;
    const { worker } = holder;
    if (job.state === 'given' && worker.recall(job.place)) {
      holder.drop(job);
      this.#end(job, { ok: false, thrown: reason });
    } else {
      worker.cancel(attempt.facts, reason);
      job.graceTimer = setTimeout(() => this.#graceOver(job), ABORT_GRACE);
    }
  }

  /** It may have stopped while the event loop was blocked, and its worker be about to run another, or wait for one. */
  #graceOver(job: Job): void {
    job.holder?.worker.report();
    void job.holder?.worker.end();
  }

  stats(): WorkerPoolStats {
    const { size, free, busy, utilization } = this.#workforce;
    return { queued: this.#size - busy, running: busy, workers: size, idleWorkers: free, utilization };
  }

  async close(grace: number): Promise<void> {
    this.#workforce.close();
    if (this.#size > 0) {
      const emptied = deferred();
      this.#whenEmpty = emptied.resolve;
      await doneWithin(grace, emptied.promise);
    }
    await this.#workforce.end();
  }

  #freed(): void {
    // Whoever is adding keeps the turn, not what is heard of workers.
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
    this.#tell();
  }

  /**
   * Whoever adds many tasks hears no message meanwhile, and the workers would stand still. What they have done is told
   * afterwards: nobody expects the events of other tasks in the middle of an `add`.
   */
  #askWorkers(): void {
    if (this.#queue.size === 0) return;
    const isTelling = this.#isTelling;
    this.#isTelling = true;
    this.#isAsking = true;
    this.#workforce.report();
    this.#isAsking = false;
    if (isTelling) return;
    queueMicrotask(() => {
      this.#isTelling = false;
      this.#tell();
    });
  }

  /** Where nobody waits and a worker is free, there is nothing to decide. */
  #giveAtOnce(job: Job): boolean {
    if (this.#queue.size > 0 || this.#isPostponed) return false;
    const seat = this.#workforce.take();
    if (seat === undefined) return false;
    this.#give([job], seat);
    this.#tell();
    return true;
  }

  #distribute(): void {
    while (this.#queue.size > 0 && this.#workforce.free > 0 && !this.#isPostponed) {
      const share = Math.ceil(this.#queue.size / this.#workforce.free);
      const size = this.#plan.sizeOf(this.#queue, share);
      const jobs = Array.from({ length: size }, () => this.#queue.shift() as Job);
      this.#give(jobs as [Job], this.#workforce.take() as Seat);
    }
    while (this.#queue.size > this.#workforce.starting) {
      if (!this.#workforce.startOne()) return;
    }
  }

  #give(jobs: [Job, ...Job[]], seat: Seat): void {
    const [first] = jobs;
    const { args, isLast } = first.attempt;
    try {
      seat.worker.run(
        jobs.map(({ message }) => message),
        first.isAlone && isLast ? transferListOf(args) : [],
      );
    } catch (thrown) {
      this.#workforce.putBack(seat);
      this.#notSent(jobs, thrown);
      return;
    }
    seat.occupy(jobs);
    for (const [place, job] of jobs.entries()) job.giveTo(seat, place);
    if (jobs.length > 1) {
      seat.batchTimer ??= setTimeout(() => this.#shorten(seat), LONGEST_BATCH).unref();
      seat.batchTimer.refresh();
    }
    // Told later: whoever cancels at the news must not be ahead of the task on its way.
    this.#starts.push({ job: first, at: performance.now() });
  }

  /** All of it was copied before, and can go: but for one of them, or for being too much at once. */
  #notSent(jobs: [Job, ...Job[]], thrown: unknown): void {
    const [job] = jobs;
    if (jobs.length === 1) {
      job.state = 'ended';
      this.#ends.push({ job, result: { ok: false, thrown } });
      return;
    }
    for (const one of jobs) one.isAlone = true;
    this.#requeue(jobs);
  }

  #tell(): void {
    if (this.#isTelling || this.#ends.length + this.#starts.length === 0) return;
    this.#isTelling = true;
    this.#neutral.runInAsyncScope(this.#tellAll, this);
    this.#isTelling = false;
  }

  #tellAll(): void {
    while (this.#ends.length + this.#starts.length > 0) {
      for (const end of this.#ends.splice(0)) this.#ended(end);
      for (const { job, at } of this.#starts.splice(0)) job.start(at);
    }
  }

  #progressed(seat: Seat, { ended, nextStartedAt, isFree }: Progress): void {
    const jobs = seat.jobs.splice(0, ended.length);
    const next = seat.jobs[0];
    if (ended.length > 0) this.#workforce.proved();
    for (const [index, job] of jobs.entries()) {
      // The worker may be given others at once: what is told to it from here on must not mean this one.
      job.holder = undefined;
      const { result, startedAt, ranMs } = ended[index] as (typeof ended)[number];
      this.#ends.push({ job, result: attemptResultOf(result, job.attempt.facts.name), startedAt, ranMs });
    }
    if (isFree) {
      seat.vacate();
      this.#workforce.release(seat);
    }
    if (nextStartedAt !== undefined && next !== undefined && seat.jobs[0] === next) {
      this.#starts.push({ job: next, at: nextStartedAt });
    }
    this.#tell();
  }

  #ended({ job, result, startedAt, ranMs }: End): void {
    if (ranMs !== undefined) this.#plan.learn(job.attempt.target, ranMs);
    job.start(startedAt);
    this.#end(job, result, ranMs);
  }

  /** A worker is gone: the task that ran fails, those behind it are for others. */
  #left({ jobs }: Seat, error: Error | undefined): void {
    const blamed = jobs.find(({ state }) => state === 'started');
    this.#requeue(jobs.filter(({ state }) => state === 'given'));
    if (blamed !== undefined) this.#end(blamed, { ok: false, thrown: blamed.abortReason ?? error });
    else if (error !== undefined) this.#options.onStray(undefined, error);
  }

  /** A batch lasts longer than it should: others shall have what it has not begun. */
  #shorten(seat: Seat): void {
    seat.worker.report();
    const recalled = seat.jobs.filter(({ state, place }) => state === 'given' && seat.worker.recall(place));
    for (const job of recalled) seat.drop(job);
    this.#requeue(recalled);
    // One that has begun in between keeps its thread silent until it ends, which may be never: its time limit must run.
    if (seat.jobs.some(({ state }) => state === 'given')) seat.worker.report();
    this.#dispatch();
  }

  /** In front of what waits, and in the order in which they were. */
  #requeue(jobs: readonly Job[]): void {
    for (const job of [...jobs].reverse()) {
      job.takeBack();
      this.#queue.unshift(job);
    }
  }

  #failWaiting(error: Error): void {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      this.#end(job, { ok: false, thrown: error });
    }
  }

  #end(job: Job, result: AttemptResult, ranMs?: number): void {
    this.#size -= 1;
    job.end(result, ranMs);
    if (this.#size === 0) this.#whenEmpty?.();
  }
}
