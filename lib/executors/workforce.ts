/** The workers of a pool: how many there are, who is free, and when one has to go or another to come. */
import { clearTimeout, setTimeout } from '../real-time.ts';
import { toError } from '../to-error.ts';
import type { Job } from './job.ts';
import type { Progress, WorkerObserver } from './pool-worker.ts';
import { RestartDelay } from './restart-delay.ts';
import { Seat, type StartWorker } from './seat.ts';
import type { StrayMessage } from './wire.ts';

export interface WorkforceOptions {
  readonly min: number;
  readonly max: number;
  readonly idleTimeout: number;
  /** Starts a worker; throws where the options do not allow one. */
  readonly start: StartWorker;
  /** Makes the error of tasks that wait for workers which cannot start. */
  readonly startError: (cause: Error) => Error;
}

/** What a workforce tells its pool. */
export interface WorkforceObserver {
  /** What waits is to be given to whoever is free: one more is, or what a worker had that is gone waits again. */
  freed(): void;
  progressed(seat: Seat, progress: Progress): void;
  unreadable(seat: Seat, reason: string): void;
  stray(stray: StrayMessage): void;
  /** A worker is gone, with the tasks that it was given. `error` says why, unless it was ended on purpose. */
  left(seat: Seat, error: Error | undefined): void;
  /** No worker is alive, and none can be started. */
  failedToStart(error: Error): void;
}

export class Workforce {
  readonly #options: WorkforceOptions;
  readonly #observer: WorkforceObserver;
  readonly #seats = new Set<Seat>();
  /** Those without a task. The one that was busy last goes first, so that the others become idle enough to end. */
  readonly #free: Seat[] = [];
  /** The ends of those that were idle for too long, until they are gone. */
  readonly #retiring = new Set<Promise<void>>();
  /** Of those that are gone. */
  readonly #past = { aliveMs: 0, busyMs: 0 };
  readonly #restartDelay = new RestartDelay(() => {
    this.#observer.freed();
    while (this.#seats.size < this.#options.min && this.startOne());
  });
  #isClosed = false;

  /** Throws what `start` throws, if `min` asks for workers at once. */
  constructor(options: WorkforceOptions, observer: WorkforceObserver) {
    this.#options = options;
    this.#observer = observer;
    while (this.#seats.size < options.min) this.#start();
  }

  get size(): number {
    return this.#seats.size;
  }

  get free(): number {
    return this.#free.length;
  }

  /** Those that have not said yet that they are ready. */
  get starting(): number {
    let starting = 0;
    for (const { isReady } of this.#seats) if (!isReady) starting += 1;
    return starting;
  }

  /** The part of the workers' time that was spent in tasks, from `0` to `1`. */
  get utilization(): number {
    let { aliveMs, busyMs } = this.#past;
    for (const seat of this.#seats) {
      const times = seat.times();
      aliveMs += times.aliveMs;
      busyMs += times.busyMs;
    }
    return aliveMs === 0 ? 0 : busyMs / aliveMs;
  }

  /** A free worker, which is free no more. */
  take(): Seat | undefined {
    return this.#free.pop();
  }

  /** Takes back a worker that was {@link take taken} and could not be given anything. */
  putBack(seat: Seat): void {
    this.#free.push(seat);
  }

  /** Starts a worker, where there may be another; returns whether it did. */
  startOne(): boolean {
    if (this.#isClosed || this.#restartDelay.isRunning || this.#seats.size >= this.#options.max) return false;
    try {
      this.#start();
      return true;
    } catch (thrown) {
      // Workers that are alive go on with what waits.
      if (this.#seats.size === 0) this.#observer.failedToStart(toError(thrown));
      return false;
    }
  }

  /** A worker has done what it was given. */
  release(seat: Seat): void {
    this.#free.push(seat);
    this.#observer.freed();
    if (seat.isBusy || this.#options.idleTimeout === Number.POSITIVE_INFINITY) return;
    // One timer for each worker, restarted whenever it becomes idle, and ignored if it fires while the worker is busy.
    seat.idleTimer ??= setTimeout(() => this.#retire(seat), this.#options.idleTimeout).unref();
    seat.idleTimer.refresh();
  }

  /** A task has ended in a worker that lived. */
  proved(): void {
    this.#restartDelay.reset();
  }

  /** Has those that have tasks report at once what they have done so far. */
  report(): void {
    for (const seat of this.#seats) if (seat.isBusy) seat.worker.report();
  }

  /** Starts no more. */
  close(): void {
    this.#isClosed = true;
    this.#restartDelay.stop();
  }

  /** What workers were given and have not ended. */
  get jobs(): readonly Job[] {
    return [...this.#seats].flatMap(({ jobs }) => jobs);
  }

  async end(): Promise<void> {
    await Promise.all([...this.#retiring, ...[...this.#seats].map(({ worker }) => worker.end())]);
  }

  #start(): void {
    this.#seats.add(new Seat(this.#options.start, this.#observe));
  }

  readonly #observe = (seat: Seat): WorkerObserver => ({
    ready: () => {
      if (!this.#seats.has(seat)) return;
      seat.isReady = true;
      this.release(seat);
    },
    progressed: (progress) => {
      if (this.#seats.has(seat)) this.#observer.progressed(seat, progress);
    },
    unreadable: (reason) => {
      if (this.#seats.has(seat)) this.#observer.unreadable(seat, reason);
    },
    stray: (stray) => this.#observer.stray(stray),
    exited: (error) => {
      if (this.#seats.has(seat)) this.#exited(seat, error);
    },
  });

  #exited(seat: Seat, error: Error | undefined): void {
    this.#forget(seat);
    if (error !== undefined && !this.#isClosed) this.#restartDelay.crashed();
    if (!seat.isReady && error !== undefined) {
      // A process that was killed says nothing about its options: Ctrl-C also reaches those that are just starting.
      if (isKilled(error) && this.#restartDelay.isPatient) {
        this.#observer.freed();
        return;
      }
      // Another would die as well. Workers that are alive go on with what waits.
      if (this.#seats.size === 0) this.#observer.failedToStart(this.#options.startError(error));
      return;
    }
    this.#observer.left(seat, error);
    // After a worker has died another is warm, so that the next task finds one, and those that wait do not wait for ever.
    this.startOne();
    this.#observer.freed();
  }

  #retire(seat: Seat): void {
    if (seat.isBusy || this.#seats.size <= this.#options.min) return;
    this.#forget(seat);
    const gone = seat.worker.end();
    this.#retiring.add(gone);
    void gone.then(() => this.#retiring.delete(gone));
  }

  #forget(seat: Seat): void {
    this.#seats.delete(seat);
    const index = this.#free.indexOf(seat);
    if (index !== -1) this.#free.splice(index, 1);
    clearTimeout(seat.idleTimer);
    clearTimeout(seat.batchTimer);
    const { aliveMs, busyMs } = seat.times();
    this.#past.aliveMs += aliveMs;
    this.#past.busyMs += busyMs;
  }
}

function isKilled(error: Error): boolean {
  return typeof (error as { readonly signal?: unknown }).signal === 'string';
}
