/** One of a pool's workers, and what is known of it. */
import { now } from '../time/real-time.ts';
import type { Job, JobHolder } from './job.ts';
import type { PoolWorker, WorkerObserver } from './pool-worker.ts';

export type StartWorker = (observer: WorkerObserver) => PoolWorker;

export class WorkerSlot implements JobHolder {
  /** What it was given and has not ended; the first of them runs. */
  jobs: Job[] = [];
  /** Whether what it was given last were several at once. */
  hasBatch = false;
  isReady = false;
  idleTimer: NodeJS.Timeout | undefined;
  batchTimer: NodeJS.Timeout | undefined;
  readonly worker: PoolWorker;
  readonly #startedAt = now();
  #busySince = 0;
  #busyMs = 0;

  constructor(start: StartWorker, observe: (slot: WorkerSlot) => WorkerObserver) {
    this.worker = start(observe(this));
  }

  get isBusy(): boolean {
    return this.jobs.length > 0;
  }

  occupy(jobs: Job[]): void {
    this.jobs = jobs;
    this.hasBatch = jobs.length > 1;
    this.#busySince = now();
  }

  drop(job: Job): void {
    this.jobs.splice(this.jobs.indexOf(job), 1);
  }

  /** It has done what it was given. */
  vacate(): void {
    this.#busyMs += now() - this.#busySince;
  }

  times(): { readonly aliveMs: number; readonly busyMs: number } {
    const at = now();
    return { aliveMs: at - this.#startedAt, busyMs: this.#busyMs + (this.isBusy ? at - this.#busySince : 0) };
  }
}
