/** The workers of a pool: how many there are, who is free, and when one has to go or another to come. */
import { NOWHERE } from '../async-context.ts';
import { BackgroundTaskError } from '../errors.ts';
import { clearTimeout, setTimeout } from '../time/real-time.ts';
import { toError } from '../to-error.ts';
import type { Job } from './job.ts';
import type { Progress, WorkerObserver } from './pool-worker.ts';
import { RestartDelay } from './restart-delay.ts';
import type { StrayMessage } from './wire.ts';
import { type StartWorker, WorkerSlot } from './worker-slot.ts';

export interface WorkforceOptions {
  readonly min: number;
  readonly max: number;
  readonly idleTimeout: number;
  /** Throws where the options do not allow a worker. */
  readonly start: StartWorker;
  /** Makes the error of workers that cannot start, and of the tasks that wait for them. */
  readonly startError: (cause: Error) => Error;
}

/** What a workforce tells its pool. */
interface WorkforceObserver {
  /** What waits is to be given to whoever is free: one more is, or what a worker had that is gone waits again. */
  freed(): void;
  progressed(slot: WorkerSlot, progress: Progress): void;
  unreadable(slot: WorkerSlot, reason: string): void;
  stray(stray: StrayMessage): void;
  /** A worker is gone, with the tasks that it was given. `error` says why, unless it was ended on purpose. */
  left(slot: WorkerSlot, error: Error | undefined): void;
  /** No worker is alive, and none can be started. */
  failedToStart(error: Error): void;
}

export class Workforce {
  readonly #options: WorkforceOptions;
  readonly #observer: WorkforceObserver;
  readonly #slots = new Set<WorkerSlot>();
  /** Those without a task. The one that was busy last goes first, so that the others become idle enough to end. */
  readonly #free: WorkerSlot[] = [];
  /** The ends of those that were idle for too long, until they are gone. */
  readonly #retiring = new Set<Promise<void>>();
  /** Of those that are gone. */
  readonly #past = { aliveMs: 0, busyMs: 0 };
  readonly #restartDelay = new RestartDelay(() => {
    this.#observer.freed();
    while (!this.#failsToStart && this.#slots.size < this.#options.min && this.startOne());
  });
  /** Whether the last one to start was gone before it was ready. Then another is worth a try only for a task that waits. */
  #failsToStart = false;
  #isClosed = false;

  /** Throws if `min` asks for workers at once, and they cannot start. */
  constructor(options: WorkforceOptions, observer: WorkforceObserver) {
    this.#options = options;
    this.#observer = observer;
    try {
      while (this.#slots.size < options.min) this.#start();
    } catch (thrown) {
      void this.end();
      // Nobody is there to hear of those that have started.
      this.#slots.clear();
      throw thrown;
    }
  }

  get size(): number {
    return this.#slots.size;
  }

  get free(): number {
    return this.#free.length;
  }

  /** Those that have not said yet that they are ready. */
  get starting(): number {
    let starting = 0;
    for (const { isReady } of this.#slots) if (!isReady) starting += 1;
    return starting;
  }

  /** The part of the workers' time that was spent in tasks, from `0` to `1`. */
  get utilization(): number {
    let { aliveMs, busyMs } = this.#past;
    for (const slot of this.#slots) {
      const times = slot.times();
      aliveMs += times.aliveMs;
      busyMs += times.busyMs;
    }
    return aliveMs === 0 ? 0 : busyMs / aliveMs;
  }

  /** A free worker, which is free no more. */
  take(): WorkerSlot | undefined {
    let slot = this.#free.pop();
    while (slot?.worker.isLeaving) {
      slot.worker.holdUntilGone();
      slot = this.#free.pop();
    }
    return slot;
  }

  /** Takes back a worker that was {@link take taken} and could not be given anything. */
  putBack(slot: WorkerSlot): void {
    this.#free.push(slot);
  }

  /** Starts a worker, where there may be another; returns whether it did. */
  startOne(): boolean {
    if (this.#isClosed || this.#restartDelay.isRunning || this.#slots.size >= this.#options.max) return false;
    try {
      this.#start();
      return true;
    } catch (thrown) {
      // Workers that are alive go on with what waits.
      if (this.#slots.size === 0) this.#observer.failedToStart(toError(thrown));
      return false;
    }
  }

  /** A worker has done what it was given. */
  release(slot: WorkerSlot): void {
    this.#free.push(slot);
    this.#observer.freed();
    if (slot.isBusy || this.#options.idleTimeout === Number.POSITIVE_INFINITY) return;
    // One timer for each worker, restarted whenever it becomes idle, and ignored if it fires while the worker is busy.
    slot.idleTimer ??= setTimeout(() => this.#retire(slot), this.#options.idleTimeout).unref();
    slot.idleTimer.refresh();
  }

  /** A task has ended in a worker that lived. */
  proved(): void {
    this.#restartDelay.reset();
  }

  /**
   * Has all report at once what they have done so far. One whose tasks have all ended may not have said yet that it takes
   * more.
   */
  report(): void {
    for (const { worker } of this.#slots) worker.report();
  }

  /** Starts no more. */
  close(): void {
    this.#isClosed = true;
    this.#restartDelay.stop();
  }

  /** What workers were given and have not ended. */
  get jobs(): readonly Job[] {
    return [...this.#slots].flatMap(({ jobs }) => jobs);
  }

  async end(): Promise<void> {
    await Promise.all([...this.#retiring, ...[...this.#slots].map(({ worker }) => worker.end())]);
  }

  #start(): void {
    const { start, startError } = this.#options;
    try {
      // A worker outlives the request whose task it is started for.
      this.#slots.add(NOWHERE.runInAsyncScope(() => new WorkerSlot(start, this.#observe)));
    } catch (thrown) {
      throw thrown instanceof BackgroundTaskError ? thrown : startError(toError(thrown));
    }
  }

  readonly #observe = (slot: WorkerSlot): WorkerObserver => ({
    ready: () => {
      if (!this.#slots.has(slot)) return;
      slot.isReady = true;
      this.#failsToStart = false;
      this.release(slot);
    },
    progressed: (progress) => {
      if (this.#slots.has(slot)) this.#observer.progressed(slot, progress);
    },
    unreadable: (reason) => {
      if (this.#slots.has(slot)) this.#observer.unreadable(slot, reason);
    },
    stray: (stray) => this.#observer.stray(stray),
    exited: (error) => {
      if (this.#slots.has(slot)) this.#exited(slot, error);
    },
  });

  #exited(slot: WorkerSlot, error: Error | undefined): void {
    this.#forget(slot);
    if (error !== undefined && !this.#isClosed) this.#restartDelay.crashed();
    if (!slot.isReady && error !== undefined) {
      this.#failsToStart = true;
      // A process that was killed says nothing about its options: Ctrl-C also reaches those that are just starting.
      if (isKilled(error) && this.#restartDelay.isPatient) {
        this.#observer.freed();
        return;
      }
      // Another would die as well. Workers that are alive go on with what waits.
      if (this.#slots.size === 0) this.#observer.failedToStart(this.#options.startError(error));
      return;
    }
    this.#observer.left(slot, error);
    // After a worker has died another is warm, so that the next task finds one, and those that wait do not wait for ever.
    this.startOne();
    this.#observer.freed();
  }

  #retire(slot: WorkerSlot): void {
    if (slot.isBusy || this.#slots.size <= this.#options.min) return;
    this.#forget(slot);
    const gone = slot.worker.end();
    this.#retiring.add(gone);
    void gone.then(() => this.#retiring.delete(gone));
  }

  #forget(slot: WorkerSlot): void {
    this.#slots.delete(slot);
    const index = this.#free.indexOf(slot);
    if (index !== -1) this.#free.splice(index, 1);
    clearTimeout(slot.idleTimer);
    clearTimeout(slot.batchTimer);
    const { aliveMs, busyMs } = slot.times();
    this.#past.aliveMs += aliveMs;
    this.#past.busyMs += busyMs;
  }
}

function isKilled(error: Error): boolean {
  return typeof (error as { readonly signal?: unknown }).signal === 'string';
}
