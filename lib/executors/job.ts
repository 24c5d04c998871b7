/** An attempt that a pool has taken on, from its queue to its end in a worker. */
import { lostResult } from '../cloneable.ts';
import { transferListOf } from '../move.ts';
import type { Queued } from '../queue.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult } from './executor.ts';
import type { PoolWorker } from './pool-worker.ts';
import type { Result, TaskMessage } from './wire.ts';

/** Who has a job: a worker, and the list of what it was given. */
export interface JobHolder {
  readonly worker: PoolWorker;
  /** Strikes a job off that list. */
  drop(job: Job): void;
}

export class Job implements Queued<Job> {
  readonly attempt: Attempt;
  /** Whether it must not share a message with others: what is moved cannot be taken back, what cannot be sent keeps all from going. */
  isAlone: boolean;
  state: 'queued' | 'given' | 'started' | 'ended' = 'queued';
  /** None while it waits, and none any more when its worker has answered. */
  holder: JobHolder | undefined;
  /** Its place among what the worker was given. */
  place = 0;
  /** Set once it was told to stop. */
  abortReason: Error | undefined;
  graceTimer: NodeJS.Timeout | undefined;
  previousInQueue: Job | undefined;
  nextInQueue: Job | undefined;

  constructor(attempt: Attempt, takesBatches: boolean) {
    this.attempt = attempt;
    this.isAlone = !takesBatches || transferListOf(attempt.args).length > 0;
  }

  get priority(): number {
    return this.attempt.priority;
  }

  get message(): TaskMessage {
    const { target, facts, args } = this.attempt;
    if (target.kind !== 'module') throw new TypeError('a worker runs exports of modules only');
    const { id, name, attempt, context } = facts;
    return { id, name, attempt, module: target.module, export: target.export, args, context };
  }

  giveTo(holder: JobHolder, place: number): void {
    this.state = 'given';
    this.holder = holder;
    this.place = place;
  }

  takeBack(): void {
    this.state = 'queued';
    this.holder = undefined;
  }

  /** Its code has begun, as was heard now, for the first time or again. */
  start(at?: number): void {
    if (this.state !== 'given') return;
    this.state = 'started';
    this.attempt.started(at);
  }

  end(result: AttemptResult, ranMs?: number): void {
    clearTimeout(this.graceTimer);
    this.state = 'ended';
    this.attempt.ended(result, ranMs);
  }
}

/** What a worker's answer means to the run. */
export function attemptResultOf(result: Result, taskName: string): AttemptResult {
  switch (result.kind) {
    case 'value':
      return { ok: true, value: result.value };
    case 'value-lost':
      return { ok: true, value: undefined, warning: lostResult(taskName, result.reason) };
    case 'error':
      return { ok: false, thrown: decodeError(result.error) };
  }
}
