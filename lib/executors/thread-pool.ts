/** Runs tasks in worker threads: which thread takes which task, how many threads there are, and when one has to go. */
import { lostResult } from '../cloneable.ts';
import { transferListOf } from '../move.ts';
import { toError } from '../outcome.ts';
import { Queue, type Queued } from '../queue.ts';
import type { ResolvedPoolOptions } from '../resolve-options.ts';
import { delayed } from '../timers.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult, Executor, ExecutorStats } from './executor.ts';
import { startError, Thread, type ThreadObserver } from './thread.ts';
import type { DeliveredAnswer, StrayMessage, TaskMessage } from './wire.ts';

/** How long a task that was told to stop by its signal has until its thread is ended, in milliseconds. */
const ABORT_GRACE = 250;

/** An attempt that the pool has taken on. */
interface Job extends Queued {
  readonly attempt: Attempt;
  /** The thread that runs it; none while it waits. */
  thread: Thread | undefined;
  /** Set once it was told to stop. */
  abortReason: Error | undefined;
  graceTimer: NodeJS.Timeout | undefined;
}

/** What the pool knows of one of its threads. */
interface Seat {
  job: Job | undefined;
  idleTimer: NodeJS.Timeout | undefined;
  isReady: boolean;
  readonly startedAt: number;
  busySince: number;
  busyMs: number;
}

export interface ThreadPoolStats extends ExecutorStats {
  readonly threads: number;
  readonly idleThreads: number;
  /** The part of the threads' time that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

export class ThreadPool implements Executor {
  readonly #options: ResolvedPoolOptions;
  readonly #onStray: (task: StrayMessage['task'], error: Error) => void;
  readonly #queue = new Queue<Job>();
  readonly #jobs = new Map<Attempt, Job>();
  readonly #seats = new Map<Thread, Seat>();
  /** Threads without a task. The one that was busy last goes first, so that the others become idle enough to end. */
  readonly #free: Thread[] = [];
  /** Of the threads that are gone. */
  readonly #past = { aliveMs: 0, busyMs: 0 };
  #isClosed = false;
  #whenEmpty: (() => void) | undefined;

  /** @throws {BackgroundTaskError} `ERR_BACKGROUND_THREAD_START` if `minThreads` asks for threads and Node refuses their options. */
  constructor(options: ResolvedPoolOptions, onStray: (task: StrayMessage['task'], error: Error) => void) {
    this.#options = options;
    this.#onStray = onStray;
    while (this.#seats.size < options.minThreads) this.#startThread();
  }

  execute(attempt: Attempt): void {
    const job: Job = {
      attempt,
      priority: attempt.priority,
      thread: undefined,
      abortReason: undefined,
      graceTimer: undefined,
      queueLinks: undefined,
    };
    this.#jobs.set(attempt, job);
    this.#queue.push(job);
    this.#dispatch();
  }

  abort(attempt: Attempt, reason: Error): void {
    const job = this.#jobs.get(attempt);
    if (job === undefined || job.abortReason !== undefined) return;
    job.abortReason = reason;
    const { thread } = job;
    if (thread === undefined) {
      this.#queue.remove(job);
      this.#end(job, { ok: false, thrown: reason });
    } else {
      thread.cancel(attempt.task, reason);
      job.graceTimer = setTimeout(() => thread.end(), ABORT_GRACE);
    }
  }

  stats(): ThreadPoolStats {
    const now = performance.now();
    let { aliveMs, busyMs } = this.#past;
    for (const seat of this.#seats.values()) {
      aliveMs += now - seat.startedAt;
      busyMs += seat.busyMs + (seat.job === undefined ? 0 : now - seat.busySince);
    }
    return {
      queued: this.#queue.size,
      running: this.#jobs.size - this.#queue.size,
      threads: this.#seats.size,
      idleThreads: this.#free.length,
      utilization: aliveMs === 0 ? 0 : busyMs / aliveMs,
    };
  }

  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    if (this.#jobs.size > 0) {
      const allEnded = new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
      await delayed(grace, allEnded);
    }
    await Promise.all([...this.#seats.keys()].map((thread) => thread.end()));
  }

  /** Gives what waits to who is free, and starts threads for what is left. */
  #dispatch(): void {
    while (this.#queue.size > 0 && this.#free.length > 0) {
      this.#give(this.#queue.shift() as Job, this.#free.pop() as Thread);
    }
    while (this.#queue.size > this.#startingThreads && this.#seats.size < this.#options.maxThreads && !this.#isClosed) {
      try {
        this.#startThread();
      } catch (thrown) {
        this.#failWaiting(toError(thrown));
        return;
      }
    }
  }

  get #startingThreads(): number {
    let starting = 0;
    for (const seat of this.#seats.values()) if (!seat.isReady) starting += 1;
    return starting;
  }

  #startThread(): void {
    const thread = new Thread(this.#options, this.#observer);
    this.#seats.set(thread, {
      job: undefined,
      idleTimer: undefined,
      isReady: false,
      startedAt: performance.now(),
      busySince: 0,
      busyMs: 0,
    });
  }

  #give(job: Job, thread: Thread): void {
    const { attempt } = job;
    const { target, task } = attempt;
    if (target.kind !== 'module') throw new TypeError('a thread runs exports of modules only');
    const seat = this.#seats.get(thread) as Seat;
    seat.job = job;
    seat.busySince = performance.now();
    job.thread = thread;
    attempt.started();
    const message: TaskMessage = {
      id: task.id,
      name: task.name,
      attempt: task.attempt,
      module: target.module,
      export: target.export,
      args: attempt.args,
      context: task.context,
    };
    thread.run(message, attempt.isLast ? transferListOf(attempt.args) : []);
  }

  readonly #observer: ThreadObserver = {
    ready: (thread) => {
      const seat = this.#seats.get(thread);
      if (seat === undefined) return;
      seat.isReady = true;
      this.#release(thread, seat);
    },

    answered: (thread, answer) => {
      const seat = this.#seats.get(thread);
      const job = seat?.job;
      if (seat === undefined || job === undefined) return;
      seat.busyMs += performance.now() - seat.busySince;
      seat.job = undefined;
      this.#release(thread, seat);
      this.#end(job, resultOf(answer, job.attempt.task.name));
    },

    stray: ({ task, error }) => this.#onStray(task, toError(decodeError(error))),

    exited: (thread, error) => {
      const seat = this.#seats.get(thread);
      if (seat === undefined) return;
      this.#forget(thread, seat);
      if (!seat.isReady && error !== undefined) {
        // Started again, it would only die again; whoever else is alive goes on with what waits.
        if (this.#seats.size === 0) this.#failWaiting(startError(error));
        return;
      }
      if (seat.job !== undefined) this.#end(seat.job, { ok: false, thrown: seat.job.abortReason ?? error });
      else if (error !== undefined) this.#onStray(undefined, error);
      this.#replace(seat, error);
    },
  };

  /** The thread is free: for what waits, or to be idle. */
  #release(thread: Thread, seat: Seat): void {
    this.#free.push(thread);
    this.#dispatch();
    if (seat.job !== undefined || this.#options.idleTimeout === Number.POSITIVE_INFINITY) return;
    // One timer a thread, wound up again each time it becomes idle; when it fires for a busy thread, it says nothing.
    seat.idleTimer ??= setTimeout(() => this.#retire(thread, seat), this.#options.idleTimeout).unref();
    seat.idleTimer.refresh();
  }

  #retire(thread: Thread, seat: Seat): void {
    if (seat.job !== undefined || this.#seats.size <= this.#options.minThreads) return;
    this.#forget(thread, seat);
    void thread.end();
  }

  #forget(thread: Thread, seat: Seat): void {
    this.#seats.delete(thread);
    const index = this.#free.indexOf(thread);
    if (index !== -1) this.#free.splice(index, 1);
    clearTimeout(seat.idleTimer);
    const now = performance.now();
    this.#past.aliveMs += now - seat.startedAt;
    this.#past.busyMs += seat.busyMs + (seat.job === undefined ? 0 : now - seat.busySince);
  }

  /** After a thread has died another is warm, so that the next task finds one. */
  #replace(seat: Seat, error: Error | undefined): void {
    const wasEndedWithoutNeed = seat.job === undefined && error === undefined;
    if (this.#isClosed || wasEndedWithoutNeed || this.#seats.size >= this.#options.maxThreads) return;
    try {
      this.#startThread();
    } catch (thrown) {
      this.#failWaiting(toError(thrown));
    }
  }

  #failWaiting(error: Error): void {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      this.#end(job, { ok: false, thrown: error });
    }
  }

  #end(job: Job, result: AttemptResult): void {
    clearTimeout(job.graceTimer);
    this.#jobs.delete(job.attempt);
    job.attempt.ended(result);
    if (this.#jobs.size === 0) this.#whenEmpty?.();
  }
}

function resultOf(answer: DeliveredAnswer | Error, taskName: string): AttemptResult {
  if (answer instanceof Error) return { ok: false, thrown: answer };
  switch (answer.kind) {
    case 'value':
      return { ok: true, value: answer.value };
    case 'value-lost':
      return { ok: true, value: undefined, warning: lostResult(taskName, answer.reason) };
    case 'error':
      return { ok: false, thrown: decodeError(answer.error) };
  }
}
