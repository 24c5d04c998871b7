/**
 * One worker. It fetches as many jobs as it has free slots, whenever a slot is free and there may be a job. pg-boss's own
 * worker would wait until all jobs of a fetch have ended, and for its next poll after a single job.
 */

import type { JobWithMetadata, PgBoss } from 'pg-boss';
import { takeOut } from '../../collections/take-out.ts';
import { deferred } from '../../deferred.ts';
import { describeName } from '../../describe.ts';
import type { EngineWorker, WorkFunction, WorkResult } from '../../durable/engine.ts';
import { retryInMsAfter } from '../../retry.ts';
import { nextTurn } from '../../time/real-time.ts';
import { doneWithin, SECOND } from '../../time/timers.ts';
import { toError } from '../../to-error.ts';
import { untold } from '../untold.ts';
import type { Database } from './database.ts';
import type { NotifyListener } from './notify-listener.ts';
import type { ResolvedPgBossOptions } from './options.ts';
import { claimRow, hasLostItsWorker, nameIn, readData, resultRow } from './payload.ts';
import type { RepeatedErrors } from './repeated-errors.ts';
import type { ClaimRow, ResultRow, ResultWriter } from './result-writer.ts';
import { runAlone } from './run-alone.ts';
import type { Statements } from './statements.ts';

/** The wait after a fetch that failed. */
const RETRY_AFTER = 0.25 * SECOND;
/** How many heartbeats are sent in the time after which a claim lapses. */
const BEATS = 3;
const NO_LONGER_OURS =
  'The task was given to another worker, since this one sent no heartbeat in time, or was ended by hand.';

/** Parts that the engine makes when it starts, and that its workers use as well. */
export interface EngineParts {
  readonly boss: PgBoss;
  readonly database: Database;
  readonly statements: Statements;
  readonly notifyListener: NotifyListener;
  readonly resultWriter: ResultWriter;
  readonly errors: RepeatedErrors;
}

/** A job that this worker has claimed. */
interface Claim {
  readonly id: string;
  readonly row: ClaimRow;
  readonly lost: AbortController;
  readonly ended: Promise<void>;
  /** Whether the attempt has ended, and its result is being written. */
  isWriting: boolean;
}

export class PgBossWorker implements EngineWorker {
  readonly #parts: EngineParts;
  readonly #options: ResolvedPgBossOptions;
  readonly #run: WorkFunction;
  readonly #concurrency: number;
  /** Claimed jobs, until their results are written. */
  readonly #claims: Claim[] = [];
  readonly #beats: NodeJS.Timeout;
  readonly #done: Promise<void>;
  #running = 0;
  #isStopping = false;
  /** Whether there may be jobs that nobody has fetched. */
  #mayFindMore = true;
  #wake: () => void = () => {};
  readonly #onNotify = (): void => {
    this.#mayFindMore = true;
    this.#wake();
  };

  constructor(parts: EngineParts, options: ResolvedPgBossOptions, run: WorkFunction, concurrency: number) {
    this.#parts = parts;
    this.#options = options;
    this.#run = run;
    this.#concurrency = concurrency;
    parts.notifyListener.on(this.#onNotify);
    this.#beats = setInterval(() => void this.#beat(), (options.heartbeatSeconds * SECOND) / BEATS);
    this.#done = this.#fetchUntilStopped();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#parts.notifyListener.off(this.#onNotify);
    this.#wake();
    await this.#done;
    while (this.#claims.length > 0) await Promise.all(this.#claims.map(({ ended }) => ended));
    clearInterval(this.#beats);
  }

  /** Fetches no more. The jobs in flight will be given to other workers. */
  abandon(): void {
    this.#isStopping = true;
    this.#parts.notifyListener.off(this.#onNotify);
    clearInterval(this.#beats);
    this.#wake();
    const ids = this.#claims.filter(({ isWriting }) => isWriting).map(({ id }) => id);
    if (ids.length > 0) this.#parts.errors.warn({ message: untold(ids), type: 'untold' });
    for (const { lost } of this.#claims)
      lost.abort(new Error('The connection to Postgres was closed while the task ran.'));
  }

  async #fetchUntilStopped(): Promise<void> {
    const poll = this.#options.pollingIntervalSeconds * SECOND;
    while (!this.#isStopping) {
      const slots = this.#freeSlots();
      if (slots === 0 || !this.#mayFindMore) {
        await this.#untilWoken(slots === 0 ? undefined : poll);
        // Several jobs may end in one turn: one fetch then fills all their slots.
        await nextTurn();
        continue;
      }
      this.#mayFindMore = false;
      if (!(await this.#fetch(slots))) await this.#untilWoken(Math.min(poll, RETRY_AFTER));
    }
  }

  /** As many as may still run, and fewer when many results wait to be written: together at most twice the concurrency. */
  #freeSlots(): number {
    return Math.max(0, Math.min(this.#concurrency - this.#running, 2 * this.#concurrency - this.#claims.length));
  }

  async #untilWoken(milliseconds: number | undefined): Promise<void> {
    const woken = deferred();
    this.#wake = woken.resolve;
    if (milliseconds === undefined) await woken.promise;
    // There is no notification of a hold that ends by itself.
    else if (!(await doneWithin(milliseconds, woken.promise))) this.#mayFindMore = true;
  }

  async #fetch(slots: number): Promise<boolean> {
    const { boss, errors } = this.#parts;
    try {
      const jobs = await boss.fetch<unknown>(this.#options.queue, { batchSize: slots, includeMetadata: true });
      errors.answered();
      if (jobs.length === slots) this.#mayFindMore = true;
      for (const job of jobs.sort(inOrder)) this.#take(job);
      return true;
    } catch (error) {
      if (!this.#isStopping) errors.tell(error);
      this.#mayFindMore = true;
      return false;
    }
  }

  #take(job: JobWithMetadata<unknown>): void {
    if (hasLostItsWorker(job)) this.#warnOfLoss(job);
    // A heartbeat will not tell of these: it finds the job active, by the new claim.
    for (const { id, lost } of this.#claims) {
      if (id === job.id)
        lost.abort(new Error('The task was given to this worker again, since it sent no heartbeat in time.'));
    }
    const lost = new AbortController();
    this.#running += 1;
    const claim: Claim = {
      id: job.id,
      row: claimRow(job),
      lost,
      isWriting: false,
      ended: this.#attempt(job, lost.signal).then(async (row) => {
        this.#running -= 1;
        this.#wake();
        // Lost: another worker has the job by now.
        claim.isWriting = !lost.signal.aborted;
        if (claim.isWriting) await this.#write(row);
        takeOut(this.#claims, claim);
        this.#wake();
      }),
    };
    this.#claims.push(claim);
  }

  /** A task that ends every worker that takes it would otherwise be seen nowhere until it is kept as failed. */
  #warnOfLoss({ id, retryCount, retryLimit, data }: JobWithMetadata<unknown>): void {
    const { heartbeatSeconds } = this.#options;
    // pg-boss does not report when it gives a task up: this is the last chance to do so.
    const sequel =
      retryCount < retryLimit
        ? 'it runs again'
        : 'it runs for the last time, and is kept as failed if that worker ends too';
    this.#parts.errors.warn({
      message: `Task ${describeName(nameIn(id, data))} (${id}) lost its worker, which ended or sent no heartbeat for ${heartbeatSeconds} s: ${sequel}.`,
      type: `${id} ${retryCount}`,
    });
  }

  async #attempt(job: JobWithMetadata<unknown>, signal: AbortSignal): Promise<ResultRow> {
    let retryInMs: number | undefined;
    let result: WorkResult;
    const attempt = job.retryCount + 1;
    try {
      const { envelope, retry } = readData(job.id, job.data);
      retryInMs = retryInMsAfter(attempt, retry);
      result = await this.#run(envelope, { attempt, retryInMs, stagedAt: Number(new Date(job.createdOn)), signal });
    } catch (thrown) {
      result = { kind: 'failed', error: toError(thrown), retry: true };
    }
    return resultRow(job, result, retryInMs, this.#options);
  }

  async #write(row: ResultRow): Promise<void> {
    await this.#parts.resultWriter.write(row);
    const { kind, delay } = row;
    const isBeforePoll = delay < this.#options.pollingIntervalSeconds * SECOND;
    if ((kind === 'retry' || kind === 'postponed') && isBeforePoll) setTimeout(this.#onNotify, delay + 1).unref();
  }

  async #beat(): Promise<void> {
    const claims = [...this.#claims];
    if (claims.length === 0) return;
    const { database, statements, errors } = this.#parts;
    try {
      const values = [JSON.stringify(claims.map(({ row }) => row)), this.#options.queue];
      const { rows } = await runAlone(database, statements.beat, values);
      errors.answered();
      const alive = new Set((rows as { id: string }[]).map(({ id }) => id));
      for (const claim of claims) {
        if (alive.has(claim.id) || !this.#claims.includes(claim)) continue;
        claim.lost.abort(new Error(NO_LONGER_OURS));
      }
    } catch (error) {
      if (!this.#isStopping) errors.tell(error);
    }
  }
}

/** Postgres returns updated rows in any order. Ids of one process sort in the order added. */
function inOrder(one: JobWithMetadata<unknown>, other: JobWithMetadata<unknown>): number {
  return (
    other.priority - one.priority ||
    Number(new Date(one.createdOn)) - Number(new Date(other.createdOn)) ||
    (one.id < other.id ? -1 : 1)
  );
}
