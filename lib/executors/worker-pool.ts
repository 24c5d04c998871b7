/** A pool of workers, threads or processes: which of them takes which tasks, and what becomes of these. */

import { NOWHERE } from '../async-context.ts';
import { lostArguments } from '../cloneable.ts';
import { deferred } from '../deferred.ts';
import { transferListOf } from '../move.ts';
import { Queue } from '../queue.ts';
import { setTimeout } from '../real-time.ts';
import { doneWithin } from '../timers.ts';
import { toError } from '../to-error.ts';
import { BatchPlan } from './batch-plan.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult, Executor } from './executor.ts';
import { attemptResultOf, Job } from './job.ts';
import { type EndOfJob, News } from './news.ts';
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

export interface WorkerPoolStats {
  readonly workers: number;
  readonly idleWorkers: number;
  /** The part of the workers' time that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

/** How long a task that was told to stop by its signal has until its worker is ended, in milliseconds. */
const ABORT_GRACE = 250;

/** How long a worker may take to end, in milliseconds. No thread can be ended within a call of native code. */
const LONGEST_ENDING = 500;

/** While tasks are added one after the other, workers are asked whether they take more each time this many wait. */
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
  readonly #news = new News((end) => this.#ended(end));
  readonly #turn = new TurnBudget(() => this.#turned());
  /** Whether what waits is given out when the loop has turned, and not before. */
  #isPostponed = false;
  #isAsking = false;
  #whenEmpty: (() => void) | undefined;

  /** Throws what `start` throws, if `min` asks for workers at once. */
  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    const { start } = options;
    const startNeutrally: StartWorker = (observer) => NOWHERE.runInAsyncScope(start, undefined, observer);
    this.#workforce = new Workforce(
      { ...options, start: startNeutrally },
      {
        freed: () => this.#freed(),
        progressed: (seat, progress) => this.#progressed(seat, progress),
        unreadable: (seat, reason) => this.#unreadable(seat, reason),
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
    job.wasToldToStop(reason);
    const { worker } = holder;
    if (job.state === 'given' && worker.recall(job.place)) {
      holder.drop(job);
      this.#end(job, { ok: false, thrown: reason });
    } else {
      worker.cancel(attempt.facts, reason);
      job.giveGrace(ABORT_GRACE, () => this.#graceOver(job));
    }
  }

  /** Asks first: it may have stopped while the event loop was blocked, and its worker may have gone on to another. */
  #graceOver(job: Job): void {
    job.holder?.worker.report();
    if (job.holder === undefined) return;
    void job.holder.worker.end();
    job.giveGrace(LONGEST_ENDING, () => this.#giveUp(job));
  }

  /**
   * Its worker cannot be ended yet, but the task settles. The worker keeps its place in the pool until it is gone: if each
   * were replaced at once, tasks that hang would fill the memory with threads.
   */
  #giveUp(job: Job): void {
    if (job.holder === undefined) return;
    job.wasAnswered();
    this.#end(job, { ok: false, thrown: job.abortReason });
  }

  stats(): WorkerPoolStats {
    const { size, free, utilization } = this.#workforce;
    return { workers: size, idleWorkers: free, utilization };
  }

  async close(grace: number): Promise<void> {
    this.#workforce.close();
    if (this.#size > 0) {
      const emptied = deferred();
      this.#whenEmpty = emptied.resolve;
      await doneWithin(grace, emptied.promise);
    }
    await doneWithin(LONGEST_ENDING, this.#workforce.end());
    for (const job of this.#workforce.jobs) this.#giveUp(job);
  }

  #freed(): void {
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
    this.#news.tell();
  }

  /**
   * While one stretch of code adds many tasks, no messages are read, and workers that have ended theirs would stand
   * still: so they are asked. What they have done is told afterwards: events of other tasks within `add` would surprise.
   */
  #askWorkers(): void {
    if (this.#queue.size === 0) return;
    this.#isAsking = true;
    this.#news.tellAfterwards(() => this.#workforce.report());
    this.#isAsking = false;
  }

  /** Where no task waits and a worker is free, there is nothing to decide. */
  #giveAtOnce(job: Job): boolean {
    if (this.#queue.size > 0 || this.#isPostponed) return false;
    const seat = this.#workforce.take();
    if (seat === undefined) return false;
    this.#give([job], seat);
    this.#news.tell();
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
      this.#notSent(jobs, jobs.length > 1, thrown);
      return;
    }
    seat.occupy(jobs);
    for (const [place, job] of jobs.entries()) job.giveTo(seat, place);
    if (jobs.length > 1) {
      seat.batchTimer ??= setTimeout(() => this.#shorten(seat), LONGEST_BATCH).unref();
      seat.batchTimer.refresh();
    }
    // Told after it was sent: a `started` listener that cancels it must not overtake it.
    this.#news.started(first, performance.now());
  }

  /** Each was copied at `add`. Either one of a batch cannot be sent all the same, or they are too much at once: each goes alone. */
  #notSent(jobs: readonly Job[], isBatch: boolean, thrown: unknown): void {
    if (isBatch) {
      for (const job of jobs) job.keepAlone();
      this.#requeue(jobs);
      return;
    }
    for (const job of jobs) {
      job.couldNotBeSent();
      this.#news.ended({ job, result: { ok: false, thrown: lostArguments(job.attempt.facts.name, toError(thrown)) } });
    }
  }

  /** Some of a batch may have been taken back by now: one that is left need not be the one that cannot be read. */
  #unreadable(seat: Seat, reason: string): void {
    const { jobs, hasBatch } = seat;
    seat.jobs = [];
    this.#notSent(jobs, hasBatch, new Error(reason));
    seat.vacate();
    this.#workforce.release(seat);
  }

  #progressed(seat: Seat, { ended, nextStartedAt, isFree }: Progress): void {
    const jobs = seat.jobs.splice(0, ended.length);
    const next = seat.jobs[0];
    if (ended.length > 0) this.#workforce.proved();
    for (const [index, job] of jobs.entries()) {
      job.wasAnswered();
      const { result, startedAt, ranMs } = ended[index] as (typeof ended)[number];
      this.#news.ended({ job, result: attemptResultOf(result, job.attempt.facts.name), startedAt, ranMs });
    }
    if (isFree) {
      seat.vacate();
      this.#workforce.release(seat);
    }
    if (nextStartedAt !== undefined && next !== undefined && seat.jobs[0] === next) {
      this.#news.started(next, nextStartedAt);
    }
    this.#news.tell();
  }

  #ended({ job, result, startedAt, ranMs }: EndOfJob): void {
    if (ranMs !== undefined) this.#plan.learn(job.attempt.target, ranMs);
    job.start(startedAt);
    this.#end(job, result, ranMs);
  }

  /** A worker is gone: the task that ran fails; those behind it are for others, and so is one that was still on its way. */
  #left({ jobs, worker }: Seat, error: Error | undefined): void {
    const started = jobs.find(({ state }) => state === 'started');
    const blamed = worker.neverReceived() && started?.mayReturn() ? undefined : started;
    this.#requeue(jobs.filter((job) => job.state === 'given' || (job === started && job !== blamed)));
    if (blamed !== undefined) this.#end(blamed, { ok: false, thrown: blamed.abortReason ?? error });
    else if (error !== undefined) this.#options.onStray(undefined, error);
  }

  /** A batch takes too long: what it has not begun goes to other workers. */
  #shorten(seat: Seat): void {
    seat.worker.report();
    const recalled = seat.jobs.filter(({ state, place }) => state === 'given' && seat.worker.recall(place));
    for (const job of recalled) seat.drop(job);
    this.#requeue(recalled);
    // One that has begun in between reports nothing until it ends, which may be never: asked now, its time limit starts.
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
