/** A pool of workers, threads or processes: which takes which task, how many there are, and when one has to go. */
import type { Transferable } from 'node:worker_threads';
import { lostResult } from '../cloneable.ts';
import { transferListOf } from '../move.ts';
import { toError } from '../outcome.ts';
import { Queue, type Queued } from '../queue.ts';
import { delayed } from '../timers.ts';
import { BatchPlan } from './batch-plan.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult, Executor, ExecutorStats } from './executor.ts';
import { RestartDelay } from './restart-delay.ts';
import type { Result, StrayMessage, TaskMessage } from './wire.ts';

/** Which attempt at which task. */
export interface AttemptName {
  readonly id: string;
  readonly attempt: number;
}

/** One thread or process: it runs a task at a time. */
export interface PoolWorker {
  /** Hands it tasks, to be run one after the other; where it takes no batches, a single one. To be called only when it is free. */
  run(messages: readonly TaskMessage[], transferList: readonly Transferable[]): void;
  /** Takes back the task at this place of its batch; `false` if it has begun. */
  recall(place: number): boolean;
  /** Reports at once what it has done so far: a batch is reported now and then. */
  report(): void;
  /** Tells the running task to stop by its signal. */
  cancel(attempt: AttemptName, reason: Error): void;
  /** Ends it, whatever it does; resolves when it is gone. */
  end(): Promise<void>;
}

/** What one of the tasks that a worker was given has come to. */
export interface Ended {
  readonly result: Result | Error;
  /** By the main thread's `performance.now()`, where the worker has written it down. */
  readonly startedAt?: number;
  readonly ranMs: number | undefined;
}

/** How far a worker has come with what it was given. */
export interface Progress {
  /** In the order in which they were given. */
  readonly ended: readonly Ended[];
  /** When the next of them has begun, if that is known. */
  readonly nextStartedAt: number | undefined;
  /** Whether that was all, and it takes more. */
  readonly isFree: boolean;
}

/** What a worker tells its pool. */
export interface WorkerObserver<Worker> {
  /** It has started, and is free. */
  ready(worker: Worker): void;
  progressed(worker: Worker, progress: Progress): void;
  /** An error that none of its running tasks is to blame for. */
  stray(stray: StrayMessage): void;
  /** It is gone. `error` says why, where it was not ended by `end`. */
  exited(worker: Worker, error: Error | undefined): void;
}

export interface WorkerPoolOptions<Worker> {
  readonly min: number;
  readonly max: number;
  readonly idleTimeout: number;
  /** Whether several tasks may go to a worker at once. */
  readonly batch: boolean;
  /** Starts a worker; throws where the options do not allow one. */
  readonly start: (observer: WorkerObserver<Worker>) => Worker;
  /** What a task meets that waits for workers which cannot start. */
  readonly startError: (cause: Error) => Error;
  readonly onStray: (task: StrayMessage['task'], error: Error) => void;
}

export interface WorkerPoolStats extends ExecutorStats {
  readonly workers: number;
  readonly idleWorkers: number;
  /** The part of the workers' time that was spent in tasks, from `0` to `1`. */
  readonly utilization: number;
}

/** How long a task that was told to stop by its signal has until its worker is ended, in milliseconds. */
const ABORT_GRACE = 250;

/** A batch that takes longer, in milliseconds, was misjudged: what it has not begun is taken back. */
const LONGEST_BATCH = 5;

/** An attempt that the pool has taken on. */
class Job<Worker> implements Queued<Job<Worker>> {
  readonly attempt: Attempt;
  /** Whether it must not share a message with others. */
  readonly isAlone: boolean;
  state: 'queued' | 'given' | 'started' | 'ended' = 'queued';
  /** The worker that has it; none any more when it has answered. */
  worker: Worker | undefined;
  /** Its place among what the worker was given. */
  place = 0;
  /** Set once it was told to stop. */
  abortReason: Error | undefined;
  graceTimer: NodeJS.Timeout | undefined;
  previousInQueue: Job<Worker> | undefined;
  nextInQueue: Job<Worker> | undefined;

  constructor(attempt: Attempt, isAlone: boolean) {
    this.attempt = attempt;
    this.isAlone = isAlone;
  }

  get priority(): number {
    return this.attempt.priority;
  }
}

/** What the pool knows of one of its workers. */
interface Seat<Worker> {
  /** What it was given and has not ended; the first of them runs. */
  jobs: Job<Worker>[];
  idleTimer: NodeJS.Timeout | undefined;
  batchTimer: NodeJS.Timeout | undefined;
  isReady: boolean;
  readonly startedAt: number;
  busySince: number;
  busyMs: number;
}

export class WorkerPool<Worker extends PoolWorker> implements Executor {
  readonly #options: WorkerPoolOptions<Worker>;
  readonly #queue = new Queue<Job<Worker>>();
  /** How many attempts it has taken on that have not ended. */
  #size = 0;
  readonly #seats = new Map<Worker, Seat<Worker>>();
  /** Workers without a task. The one that was busy last goes first, so that the others become idle enough to end. */
  readonly #free: Worker[] = [];
  /** Of the workers that are gone. */
  readonly #past = { aliveMs: 0, busyMs: 0 };
  readonly #plan = new BatchPlan();
  readonly #restartDelay = new RestartDelay(() => {
    this.#dispatch();
    if (this.#seats.size === 0) this.#tryToStart();
  });
  #isClosed = false;
  #whenEmpty: (() => void) | undefined;

  /** Throws what `start` throws, if `min` asks for workers at once. */
  constructor(options: WorkerPoolOptions<Worker>) {
    this.#options = options;
    while (this.#seats.size < options.min) this.#start();
  }

  execute(attempt: Attempt): void {
    // What is moved cannot be taken back.
    const isAlone = !this.#options.batch || transferListOf(attempt.args).length > 0;
    const job = new Job<Worker>(attempt, isAlone);
    attempt.kept = job;
    this.#size += 1;
    this.#queue.push(job);
    this.#dispatch();
  }

  abort(attempt: Attempt, reason: Error): void {
    const job = attempt.kept as Job<Worker>;
    if (job.abortReason !== undefined) return;
    // It may have begun, or ended, without our having heard of it.
    if (job.state === 'given') job.worker?.report();
    if (job.state === 'queued') {
      this.#queue.remove(job);
      this.#end(job, { ok: false, thrown: reason });
      return;
    }
    const { worker } = job;
    // It has ended, and its result is on its way to its run.
    if (worker === undefined) return;
    job.abortReason = reason;
    if (job.state === 'given' && worker.recall(job.place)) {
      this.#takeBack(job, worker);
      this.#end(job, { ok: false, thrown: reason });
    } else {
      worker.cancel(attempt.facts, reason);
      job.graceTimer = setTimeout(() => worker.end(), ABORT_GRACE);
    }
  }

  stats(): WorkerPoolStats {
    const now = performance.now();
    let { aliveMs, busyMs } = this.#past;
    let running = 0;
    for (const seat of this.#seats.values()) {
      aliveMs += now - seat.startedAt;
      busyMs += seat.busyMs + (seat.jobs.length === 0 ? 0 : now - seat.busySince);
      if (seat.jobs.length > 0) running += 1;
    }
    return {
      queued: this.#size - running,
      running,
      workers: this.#seats.size,
      idleWorkers: this.#free.length,
      utilization: aliveMs === 0 ? 0 : busyMs / aliveMs,
    };
  }

  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    this.#restartDelay.stop();
    if (this.#size > 0) {
      const allEnded = new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
      await delayed(grace, allEnded);
    }
    await Promise.all([...this.#seats.keys()].map((worker) => worker.end()));
  }

  /** Gives what waits to who is free, and starts workers for what is left. */
  #dispatch(): void {
    while (this.#queue.size > 0 && this.#free.length > 0) {
      const size = this.#plan.sizeOf(this.#queue, Math.ceil(this.#queue.size / this.#free.length));
      const jobs = Array.from({ length: size }, () => this.#queue.shift() as Job<Worker>);
      this.#give(jobs, this.#free.pop() as Worker);
    }
    while (this.#queue.size > this.#starting && this.#seats.size < this.#options.max) {
      if (!this.#tryToStart()) return;
    }
  }

  get #starting(): number {
    let starting = 0;
    for (const seat of this.#seats.values()) if (!seat.isReady) starting += 1;
    return starting;
  }

  #tryToStart(): boolean {
    if (this.#isClosed || this.#restartDelay.isRunning) return false;
    try {
      this.#start();
      return true;
    } catch (thrown) {
      this.#failWaiting(toError(thrown));
      return false;
    }
  }

  #start(): void {
    this.#seats.set(this.#options.start(this.#observer), {
      jobs: [],
      idleTimer: undefined,
      batchTimer: undefined,
      isReady: false,
      startedAt: performance.now(),
      busySince: 0,
      busyMs: 0,
    });
  }

  #give(jobs: Job<Worker>[], worker: Worker): void {
    const seat = this.#seats.get(worker) as Seat<Worker>;
    const [first] = jobs as [Job<Worker>];
    seat.jobs = jobs;
    seat.busySince = performance.now();
    for (const [place, job] of jobs.entries()) Object.assign(job, { state: 'given', worker, place });
    const { args, isLast } = first.attempt;
    worker.run(
      jobs.map(({ attempt }) => toMessage(attempt)),
      first.isAlone && isLast ? transferListOf(args) : [],
    );
    if (jobs.length > 1) {
      seat.batchTimer ??= setTimeout(() => this.#shorten(worker, seat), LONGEST_BATCH).unref();
      seat.batchTimer.refresh();
    }
    // Told last: whoever cancels at the news must not be ahead of the task on its way.
    this.#started(first);
  }

  #started(job: Job<Worker>, at?: number): void {
    if (job.state !== 'given') return;
    job.state = 'started';
    job.attempt.started(at);
  }

  readonly #observer: WorkerObserver<Worker> = {
    ready: (worker) => {
      const seat = this.#seats.get(worker);
      if (seat === undefined) return;
      seat.isReady = true;
      this.#release(worker, seat);
    },

    progressed: (worker, { ended, nextStartedAt, isFree }) => {
      const seat = this.#seats.get(worker);
      if (seat === undefined) return;
      const jobs = seat.jobs.splice(0, ended.length);
      const next = seat.jobs[0];
      if (ended.length > 0) this.#restartDelay.reset();
      // The worker may be given others at once: what is told to it from here on must not mean these.
      for (const job of jobs) job.worker = undefined;
      if (isFree) {
        seat.busyMs += performance.now() - seat.busySince;
        this.#release(worker, seat);
      }
      for (const [index, job] of jobs.entries()) this.#ended(job, ended[index] as Ended);
      if (nextStartedAt !== undefined && next !== undefined && seat.jobs[0] === next)
        this.#started(next, nextStartedAt);
    },

    stray: ({ task, error }) => this.#options.onStray(task, toError(decodeError(error))),

    exited: (worker, error) => {
      const seat = this.#seats.get(worker);
      if (seat === undefined) return;
      this.#forget(worker, seat);
      if (error !== undefined && !this.#isClosed) this.#restartDelay.crashed();
      if (!seat.isReady && error !== undefined) {
        // Started again, it would only die again; whoever else is alive goes on with what waits.
        if (this.#seats.size === 0) this.#failWaiting(this.#options.startError(error));
        return;
      }
      const { jobs } = seat;
      const blamed = jobs.find(({ state }) => state === 'started');
      seat.jobs = [];
      this.#requeue(jobs.filter((job) => job !== blamed));
      if (blamed !== undefined) this.#end(blamed, { ok: false, thrown: blamed.abortReason ?? error });
      else if (error !== undefined) this.#options.onStray(undefined, error);
      this.#replace(jobs.length > 0, error);
    },
  };

  #ended(job: Job<Worker>, { result, startedAt, ranMs }: Ended): void {
    if (ranMs !== undefined) this.#plan.learn(job.attempt.target, ranMs);
    this.#started(job, startedAt);
    this.#end(job, resultOf(result, job.attempt.facts.name), ranMs);
  }

  /** A batch lasts longer than it should: others shall have what it has not begun. */
  #shorten(worker: Worker, seat: Seat<Worker>): void {
    worker.report();
    const { jobs } = seat;
    const recalled = jobs.filter(({ state, place }) => state === 'given' && worker.recall(place));
    for (const job of recalled) this.#takeBack(job, worker);
    this.#requeue(recalled);
    this.#dispatch();
  }

  #takeBack(job: Job<Worker>, worker: Worker): void {
    const jobs = this.#seats.get(worker)?.jobs;
    jobs?.splice(jobs.indexOf(job), 1);
  }

  /** In front of what waits, and in the order in which they were. */
  #requeue(jobs: readonly Job<Worker>[]): void {
    for (const job of [...jobs].reverse()) {
      job.state = 'queued';
      job.worker = undefined;
      this.#queue.unshift(job);
    }
  }

  /** The worker is free: for what waits, or to be idle. */
  #release(worker: Worker, seat: Seat<Worker>): void {
    this.#free.push(worker);
    this.#dispatch();
    if (seat.jobs.length > 0 || this.#options.idleTimeout === Number.POSITIVE_INFINITY) return;
    // One timer a worker, wound up again each time it becomes idle; when it fires for a busy one, it says nothing.
    seat.idleTimer ??= setTimeout(() => this.#retire(worker, seat), this.#options.idleTimeout).unref();
    seat.idleTimer.refresh();
  }

  #retire(worker: Worker, seat: Seat<Worker>): void {
    if (seat.jobs.length > 0 || this.#seats.size <= this.#options.min) return;
    this.#forget(worker, seat);
    void worker.end();
  }

  #forget(worker: Worker, seat: Seat<Worker>): void {
    this.#seats.delete(worker);
    const index = this.#free.indexOf(worker);
    if (index !== -1) this.#free.splice(index, 1);
    clearTimeout(seat.idleTimer);
    clearTimeout(seat.batchTimer);
    const now = performance.now();
    this.#past.aliveMs += now - seat.startedAt;
    this.#past.busyMs += seat.busyMs + (seat.jobs.length === 0 ? 0 : now - seat.busySince);
  }

  /** After a worker has died another is warm, so that the next task finds one. */
  #replace(wasBusy: boolean, error: Error | undefined): void {
    const wasEndedWithoutNeed = !wasBusy && error === undefined;
    if (wasEndedWithoutNeed || this.#seats.size >= this.#options.max) return;
    this.#tryToStart();
  }

  #failWaiting(error: Error): void {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      this.#end(job, { ok: false, thrown: error });
    }
  }

  #end(job: Job<Worker>, result: AttemptResult, ranMs?: number): void {
    clearTimeout(job.graceTimer);
    job.state = 'ended';
    this.#size -= 1;
    job.attempt.ended(result, ranMs);
    if (this.#size === 0) this.#whenEmpty?.();
  }
}

function toMessage({ target, facts, args }: Attempt): TaskMessage {
  if (target.kind !== 'module') throw new TypeError('a worker runs exports of modules only');
  const { id, name, attempt, context } = facts;
  return { id, name, attempt, module: target.module, export: target.export, args, context };
}

function resultOf(result: Result | Error, taskName: string): AttemptResult {
  if (result instanceof Error) return { ok: false, thrown: result };
  switch (result.kind) {
    case 'value':
      return { ok: true, value: result.value };
    case 'value-lost':
      return { ok: true, value: undefined, warning: lostResult(taskName, result.reason) };
    case 'error':
      return { ok: false, thrown: decodeError(result.error) };
  }
}
