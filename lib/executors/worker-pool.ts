/** A pool of workers, threads or processes: which takes which task, how many there are, and when one has to go. */
import type { Transferable } from 'node:worker_threads';
import { lostResult } from '../cloneable.ts';
import { transferListOf } from '../move.ts';
import { toError } from '../outcome.ts';
import { Queue, type Queued } from '../queue.ts';
import { delayed } from '../timers.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult, Executor, ExecutorStats } from './executor.ts';
import type { Answer, StrayMessage, TaskMessage } from './wire.ts';

/** Which attempt at which task. */
export interface AttemptName {
  readonly id: string;
  readonly attempt: number;
}

/** One thread or process: it runs a task at a time. */
export interface PoolWorker {
  /** Hands it a task. To be called only when it is free. */
  run(message: TaskMessage, transferList: readonly Transferable[]): void;
  /** Tells the running task to stop by its signal. */
  cancel(attempt: AttemptName, reason: Error): void;
  /** Ends it, whatever it does; resolves when it is gone. */
  end(): Promise<void>;
}

/** What a worker tells its pool. */
export interface WorkerObserver<Worker> {
  /** It has started, and is free. */
  ready(worker: Worker): void;
  /** The task that it was given has come to this: it is free again. */
  answered(worker: Worker, answer: Answer | Error): void;
  /** An error that none of its running tasks is to blame for. */
  stray(stray: StrayMessage): void;
  /** It is gone. `error` says why, where it was not ended by `end`. */
  exited(worker: Worker, error: Error | undefined): void;
}

export interface WorkerPoolOptions<Worker> {
  readonly min: number;
  readonly max: number;
  readonly idleTimeout: number;
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

/** So many workers may die one after the other, without a task between them that ended well, until the pool takes its time. */
const CRASHES_WITHOUT_DELAY = 3;
const FIRST_RESTART_DELAY = 50;
const LONGEST_RESTART_DELAY = 1_000;

/** An attempt that the pool has taken on. */
interface Job<Worker> extends Queued {
  readonly attempt: Attempt;
  /** The worker that runs it; none while it waits. */
  worker: Worker | undefined;
  /** Set once it was told to stop. */
  abortReason: Error | undefined;
  graceTimer: NodeJS.Timeout | undefined;
}

/** What the pool knows of one of its workers. */
interface Seat<Worker> {
  job: Job<Worker> | undefined;
  idleTimer: NodeJS.Timeout | undefined;
  isReady: boolean;
  readonly startedAt: number;
  busySince: number;
  busyMs: number;
}

export class WorkerPool<Worker extends PoolWorker> implements Executor {
  readonly #options: WorkerPoolOptions<Worker>;
  readonly #queue = new Queue<Job<Worker>>();
  readonly #jobs = new Map<Attempt, Job<Worker>>();
  readonly #seats = new Map<Worker, Seat<Worker>>();
  /** Workers without a task. The one that was busy last goes first, so that the others become idle enough to end. */
  readonly #free: Worker[] = [];
  /** Of the workers that are gone. */
  readonly #past = { aliveMs: 0, busyMs: 0 };
  /** How many have died since a task last ended in a worker that lived. */
  #crashes = 0;
  /** While it runs, no worker is started: those before have died too fast. */
  #restartTimer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #whenEmpty: (() => void) | undefined;

  /** Throws what `start` throws, if `min` asks for workers at once. */
  constructor(options: WorkerPoolOptions<Worker>) {
    this.#options = options;
    while (this.#seats.size < options.min) this.#start();
  }

  execute(attempt: Attempt): void {
    const job: Job<Worker> = {
      attempt,
      priority: attempt.priority,
      worker: undefined,
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
    const { worker } = job;
    if (worker === undefined) {
      this.#queue.remove(job);
      this.#end(job, { ok: false, thrown: reason });
    } else {
      worker.cancel(attempt.task, reason);
      job.graceTimer = setTimeout(() => worker.end(), ABORT_GRACE);
    }
  }

  stats(): WorkerPoolStats {
    const now = performance.now();
    let { aliveMs, busyMs } = this.#past;
    for (const seat of this.#seats.values()) {
      aliveMs += now - seat.startedAt;
      busyMs += seat.busyMs + (seat.job === undefined ? 0 : now - seat.busySince);
    }
    return {
      queued: this.#queue.size,
      running: this.#jobs.size - this.#queue.size,
      workers: this.#seats.size,
      idleWorkers: this.#free.length,
      utilization: aliveMs === 0 ? 0 : busyMs / aliveMs,
    };
  }

  async close(grace: number): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restartTimer);
    if (this.#jobs.size > 0) {
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
      this.#give(this.#queue.shift() as Job<Worker>, this.#free.pop() as Worker);
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
    if (this.#isClosed || this.#restartTimer !== undefined) return false;
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
      job: undefined,
      idleTimer: undefined,
      isReady: false,
      startedAt: performance.now(),
      busySince: 0,
      busyMs: 0,
    });
  }

  #give(job: Job<Worker>, worker: Worker): void {
    const { attempt } = job;
    const { target, task } = attempt;
    if (target.kind !== 'module') throw new TypeError('a worker runs exports of modules only');
    const seat = this.#seats.get(worker) as Seat<Worker>;
    seat.job = job;
    seat.busySince = performance.now();
    job.worker = worker;
    const message: TaskMessage = {
      id: task.id,
      name: task.name,
      attempt: task.attempt,
      module: target.module,
      export: target.export,
      args: attempt.args,
      context: task.context,
    };
    worker.run(message, attempt.isLast ? transferListOf(attempt.args) : []);
    // Told last: whoever cancels at the news must not be ahead of the task on its way.
    attempt.started();
  }

  readonly #observer: WorkerObserver<Worker> = {
    ready: (worker) => {
      const seat = this.#seats.get(worker);
      if (seat === undefined) return;
      seat.isReady = true;
      this.#release(worker, seat);
    },

    answered: (worker, answer) => {
      const seat = this.#seats.get(worker);
      const job = seat?.job;
      if (seat === undefined || job === undefined) return;
      this.#crashes = 0;
      seat.busyMs += performance.now() - seat.busySince;
      seat.job = undefined;
      this.#release(worker, seat);
      this.#end(job, resultOf(answer, job.attempt.task.name));
    },

    stray: ({ task, error }) => this.#options.onStray(task, toError(decodeError(error))),

    exited: (worker, error) => {
      const seat = this.#seats.get(worker);
      if (seat === undefined) return;
      this.#forget(worker, seat);
      if (error !== undefined) this.#crashed();
      if (!seat.isReady && error !== undefined) {
        // Started again, it would only die again; whoever else is alive goes on with what waits.
        if (this.#seats.size === 0) this.#failWaiting(this.#options.startError(error));
        return;
      }
      if (seat.job !== undefined) this.#end(seat.job, { ok: false, thrown: seat.job.abortReason ?? error });
      else if (error !== undefined) this.#options.onStray(undefined, error);
      this.#replace(seat, error);
    },
  };

  /** The worker is free: for what waits, or to be idle. */
  #release(worker: Worker, seat: Seat<Worker>): void {
    this.#free.push(worker);
    this.#dispatch();
    if (seat.job !== undefined || this.#options.idleTimeout === Number.POSITIVE_INFINITY) return;
    // One timer a worker, wound up again each time it becomes idle; when it fires for a busy one, it says nothing.
    seat.idleTimer ??= setTimeout(() => this.#retire(worker, seat), this.#options.idleTimeout).unref();
    seat.idleTimer.refresh();
  }

  #retire(worker: Worker, seat: Seat<Worker>): void {
    if (seat.job !== undefined || this.#seats.size <= this.#options.min) return;
    this.#forget(worker, seat);
    void worker.end();
  }

  #forget(worker: Worker, seat: Seat<Worker>): void {
    this.#seats.delete(worker);
    const index = this.#free.indexOf(worker);
    if (index !== -1) this.#free.splice(index, 1);
    clearTimeout(seat.idleTimer);
    const now = performance.now();
    this.#past.aliveMs += now - seat.startedAt;
    this.#past.busyMs += seat.busyMs + (seat.job === undefined ? 0 : now - seat.busySince);
  }

  /** Where every task kills its worker, starting the next at once would keep a core busy with starts alone. */
  #crashed(): void {
    this.#crashes += 1;
    if (this.#crashes <= CRASHES_WITHOUT_DELAY || this.#isClosed) return;
    const delay = FIRST_RESTART_DELAY * 2 ** (this.#crashes - CRASHES_WITHOUT_DELAY - 1);
    clearTimeout(this.#restartTimer);
    this.#restartTimer = setTimeout(
      () => {
        this.#restartTimer = undefined;
        this.#dispatch();
        if (this.#seats.size === 0) this.#tryToStart();
      },
      Math.min(delay, LONGEST_RESTART_DELAY),
    );
  }

  /** After a worker has died another is warm, so that the next task finds one. */
  #replace(seat: Seat<Worker>, error: Error | undefined): void {
    const wasEndedWithoutNeed = seat.job === undefined && error === undefined;
    if (wasEndedWithoutNeed || this.#seats.size >= this.#options.max) return;
    this.#tryToStart();
  }

  #failWaiting(error: Error): void {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      this.#end(job, { ok: false, thrown: error });
    }
  }

  #end(job: Job<Worker>, result: AttemptResult): void {
    clearTimeout(job.graceTimer);
    this.#jobs.delete(job.attempt);
    job.attempt.ended(result);
    if (this.#jobs.size === 0) this.#whenEmpty?.();
  }
}

function resultOf(answer: Answer | Error, taskName: string): AttemptResult {
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
