/** An attempt that a pool has taken on, from its queue to its end in a worker. */
import { transferListOf } from '../move.ts';
import type { Queued } from '../queue.ts';
import { toThisRealm } from '../realm.ts';
import { clearTimeout } from '../time/real-time.ts';
import { setPatientTimeout } from '../time/timers.ts';
import { decodeError } from './error-codec.ts';
import type { Attempt, AttemptResult } from './executor.ts';
import { lostResult } from './lost-values.ts';
import type { PoolWorker } from './pool-worker.ts';
import type { Result, TaskMessage } from './wire.ts';

/** Who has a job: a worker, and the list of what it was given. */
export interface JobHolder {
  readonly worker: PoolWorker;
  /** Strikes a job off that list. */
  drop(job: Job): void;
}

/** How many workers may die before they have received it, until it may be what they die of. */
const MOST_RETURNS = 3;

class OwnJob implements Queued<Job> {
  readonly attempt: Attempt;
  previous: Job | undefined;
  next: Job | undefined;
  /** Whether it must not share a message with others. */
  isAlone: boolean;
  state: 'queued' | 'given' | 'started' | 'ended' = 'queued';
  /** `undefined` while it waits, and again when its worker has answered or it has ended. */
  holder: JobHolder | undefined;
  /** Its place among what the worker was given. */
  place = 0;
  /** Set once it was told to stop. */
  abortReason: Error | undefined;
  #returns = 0;
  #wasStarted = false;
  #graceTimer: NodeJS.Timeout | undefined;

  constructor(attempt: Attempt, takesBatches: boolean) {
    this.attempt = attempt;
    // What is moved cannot be taken back.
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
    const wasStarted = this.state === 'started';
    this.state = 'queued';
    this.holder = undefined;
    if (wasStarted) this.attempt.returned();
  }

  /** It is in no queue any more, no worker has it, and its run is about to be told. */
  couldNotBeSent(): void {
    this.state = 'ended';
    this.holder = undefined;
  }

  /** One that cannot be sent keeps all that go with it from going. */
  keepAlone(): void {
    this.isAlone = true;
  }

  /** Its code has begun. May be called more than once. */
  start(at?: number): void {
    if (this.state !== 'given') return;
    this.state = 'started';
    // One that comes back from a worker that was gone before it began has been told as started.
    if (this.#wasStarted) {
      this.attempt.resumed(at);
      return;
    }
    this.#wasStarted = true;
    this.attempt.started(at);
  }

  /** Whether another worker may have it in place of one that has never received it. */
  mayReturn(): boolean {
    const { args, isLast } = this.attempt;
    if (this.abortReason !== undefined || (isLast && transferListOf(args).length > 0)) return false;
    this.#returns += 1;
    return this.#returns <= MOST_RETURNS;
  }

  wasToldToStop(reason: Error): void {
    this.abortReason = reason;
  }

  /** `onOver` is called unless it has ended within `milliseconds`. */
  giveGrace(milliseconds: number, onOver: () => void): void {
    this.#graceTimer = setPatientTimeout(onOver, milliseconds);
  }

  /** Its worker may be given another job at once: from here on, nothing that the worker is told may be about this one. */
  wasAnswered(): void {
    this.holder = undefined;
  }

  end(result: AttemptResult, ranMs?: number): void {
    clearTimeout(this.#graceTimer);
    this.state = 'ended';
    this.holder = undefined;
    this.attempt.ended(result, ranMs);
  }
}

/** To everybody else its fields are read-only. */
export type Job = Readonly<OwnJob>;
export const Job: new (...args: ConstructorParameters<typeof OwnJob>) => Job = OwnJob;

/** What a worker's answer means to the run. */
export function attemptResultOf(result: Result, taskName: string): AttemptResult {
  switch (result.kind) {
    case 'value':
      return { ok: true, value: toThisRealm(result.value) };
    case 'value-lost':
      return { ok: true, value: undefined, warning: lostResult(taskName, result.reason) };
    case 'error':
      return { ok: false, thrown: decodeError(result.error) };
  }
}
