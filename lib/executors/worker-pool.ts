/** A pool of workers, threads or processes: takes attempts on, and sees each through to its end, whatever becomes of its worker. */

import { deferred } from '../deferred.ts';
import { doneWithin } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import { Dispatcher } from './dispatcher.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult, Executor } from './executor.ts';
import { attemptResultOf, Job } from './job.ts';
import { type EndOfJob, Notifications } from './notifications.ts';
import type { Progress } from './pool-worker.ts';
import type { StrayMessage } from './wire.ts';
import type { WorkerSlot } from './worker-slot.ts';
import { Workforce, type WorkforceOptions } from './workforce.ts';

export interface WorkerPoolOptions extends WorkforceOptions {
  /** Whether several tasks may go to a worker at once. */
  readonly batch: boolean;
  readonly onStray: (task: StrayMessage['task'], error: Error) => void;
}

interface WorkerPoolStats {
  readonly workers: number;
  readonly idleWorkers: number;
  /** The part of the workers' time that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

/** How long a task that was told to stop by its signal has until its worker is ended, in milliseconds. */
const ABORT_GRACE = 250;

/** How long a worker may take to end, in milliseconds. No thread can be ended within a call of native code. */
const LONGEST_ENDING = 500;

export class WorkerPool implements Executor {
  readonly #options: WorkerPoolOptions;
  readonly #workforce: Workforce;
  readonly #dispatcher: Dispatcher;
  /** How many attempts it has taken on that have not ended. */
  #size = 0;
  readonly #notifications = new Notifications((end) => this.#ended(end));
  #whenEmpty: (() => void) | undefined;

  /** Throws if `min` asks for workers at once, and they cannot start. */
  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#workforce = new Workforce(options, {
      freed: () => this.#dispatcher.freed(),
      progressed: (slot, progress) => this.#progressed(slot, progress),
      unreadable: (slot, reason) => this.#dispatcher.unreadable(slot, reason),
      stray: ({ task, error }) => options.onStray(task, toError(decodeError(error))),
      left: (slot, error) => this.#left(slot, error),
      failedToStart: (error) => this.#failWaiting(error),
    });
    this.#dispatcher = new Dispatcher(this.#workforce, this.#notifications, options.batch);
  }

  execute(attempt: Attempt): void {
    const job = new Job(attempt, this.#options.batch);
    attempt.kept = job;
    this.#size += 1;
    this.#dispatcher.add(job);
  }

  abort(attempt: Attempt, reason: Error): void {
    const job = attempt.kept as Job;
    // It may have begun, or ended, without our having heard of it.
    if (job.state === 'given') job.holder?.worker.report();
    if (job.state === 'queued') {
      this.#dispatcher.remove(job);
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

  #graceOver(job: Job): void {
    if (job.holder === undefined) return;
    void job.holder.worker.end();
    job.giveGrace(LONGEST_ENDING, () => this.#giveUp(job));
  }

  /**
   * Its worker cannot be ended yet, but the task settles. The worker keeps its place in the pool until it is gone: if each
   * were replaced at once, tasks that hang would fill the memory with threads.
   */
  #giveUp(job: Job): void {
    if (job.holder !== undefined) this.#end(job, { ok: false, thrown: job.abortReason });
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

  #progressed(slot: WorkerSlot, { ended, nextStartedAt, isFree }: Progress): void {
    const jobs = slot.jobs.splice(0, ended.length);
    const next = slot.jobs[0];
    if (ended.length > 0) this.#workforce.proved();
    for (const [index, job] of jobs.entries()) {
      job.wasAnswered();
      const { result, startedAt, ranMs } = ended[index] as (typeof ended)[number];
      this.#notifications.ended({ job, result: attemptResultOf(result, job.attempt.facts.name), startedAt, ranMs });
    }
    if (isFree) {
      slot.vacate();
      this.#workforce.release(slot);
    }
    if (nextStartedAt !== undefined && next !== undefined && slot.jobs[0] === next) {
      this.#notifications.started(next, nextStartedAt);
    }
    this.#notifications.deliver();
  }

  #ended({ job, result, startedAt, ranMs }: EndOfJob): void {
    if (ranMs !== undefined) this.#dispatcher.learn(job.attempt.target, ranMs);
    job.start(startedAt);
    this.#end(job, result, ranMs);
  }

  /** A worker is gone: the task that ran fails; those behind it are for others, and so is one that was still on its way. */
  #left({ jobs, worker }: WorkerSlot, error: Error | undefined): void {
    const started = jobs.find(({ state }) => state === 'started');
    const blamed = worker.neverReceived() && started?.mayReturn() ? undefined : started;
    this.#dispatcher.requeue(jobs.filter((job) => job.state === 'given' || (job === started && job !== blamed)));
    if (blamed !== undefined) this.#end(blamed, { ok: false, thrown: blamed.abortReason ?? error });
    else if (error !== undefined) this.#options.onStray(undefined, error);
  }

  #failWaiting(error: Error): void {
    for (let job = this.#dispatcher.shift(); job !== undefined; job = this.#dispatcher.shift()) {
      this.#end(job, { ok: false, thrown: error });
    }
  }

  #end(job: Job, result: AttemptResult, ranMs?: number): void {
    this.#size -= 1;
    job.end(result, ranMs);
    if (this.#size === 0) this.#whenEmpty?.();
  }
}
