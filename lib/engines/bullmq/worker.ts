/** One worker. BullMQ fetches, locks and counts; here each job is run, and its result is told to BullMQ in BullMQ's terms. */
import type * as BullMQ from 'bullmq';
import { takeOut } from '../../collections/take-out.ts';
import { type Deferred, deferred } from '../../deferred.ts';
import { describe, describeName } from '../../describe.ts';
import type { EngineHost, EngineWorker, WorkFunction, WorkResult } from '../../durable/engine.ts';
import { engineError } from '../../errors.ts';
import { retryInMsAfter } from '../../retry.ts';
import { doneWithin, SECOND } from '../../time/timers.ts';
import { untold } from '../untold.ts';
import { type EngineClient, workerClient } from './client.ts';
import type { ConnectionErrors } from './connection-errors.ts';
import {
  attemptsOf,
  envelopeOf,
  isTaskJob,
  type JobData,
  type JobResult,
  retryOf,
  setFailureOptions,
  stackWithFacts,
  type TaskJob,
} from './job.ts';
import { lostResult } from './lost-results.ts';
import type { ResolvedBullMQOptions } from './options.ts';
import { askAgain } from './patience.ts';
import { DelayedError, UnrecoverableError, Worker } from './peers.ts';

/** BullMQ's wait after an error of the connection, 15 seconds by default. ioredis waits as well. */
const RUN_RETRY_DELAY = 1 * SECOND;
/** How long BullMQ may take to write the last results and close. Without Redis it never does. */
const STOP_GRACE = 1 * SECOND;

/** BullMQ takes any error with this message for a signal of its rate limiter. */
const RATE_LIMIT_MESSAGE = 'bullmq:rateLimitExceeded';

/** Parts that the engine has when it has started, and that its workers use as well. */
export interface EngineParts {
  readonly host: EngineHost;
  readonly errors: ConnectionErrors;
}

interface InFlight {
  readonly id: string;
  readonly controller: AbortController;
  /** Made for the run before of the same task, if there is one that waits for this one's end. */
  ended?: Deferred<void>;
  /** The end of the next run, if this worker is given the task again meanwhile. */
  next?: Promise<void>;
}

export class BullMQWorker implements EngineWorker {
  readonly #host: EngineHost;
  readonly #errors: ConnectionErrors;
  readonly #options: ResolvedBullMQOptions;
  readonly #run: WorkFunction;
  readonly #client: EngineClient;
  readonly #worker: BullMQ.Worker<JobData>;
  readonly #inFlight: InFlight[] = [];
  #whenNoneInFlight: (() => void) | undefined;
  /**
   * Those that did not abort, for the next tasks: on Node 20, to make one costs a tenth of what a task costs. Nobody
   * listens to the signal of an attempt that has ended.
   */
  readonly #spareControllers: AbortController[] = [];
  readonly #untold: () => readonly string[];
  #isConnected = true;
  /** How long to wait before the next attempt, in milliseconds. */
  readonly #waits = new WeakMap<TaskJob, number>();
  #stopped: Promise<void> | undefined;

  constructor({ host, errors }: EngineParts, options: ResolvedBullMQOptions, run: WorkFunction, concurrency: number) {
    this.#host = host;
    this.#errors = errors;
    this.#options = options;
    this.#run = run;
    const { connection, queue, prefix, lockDuration, stalledInterval, maxStalledCount } = options;
    this.#client = workerClient(connection);
    errors.watch(this.#client);
    this.#worker = new Worker<JobData>(queue, (job, token) => this.#process(job, token), {
      connection: this.#client,
      prefix,
      concurrency,
      lockDuration,
      stalledInterval,
      maxStalledCount,
      runRetryDelay: RUN_RETRY_DELAY,
      settings: { backoffStrategy: (_made, _type, _error, job) => this.#waits.get(job as TaskJob) ?? 0 },
    });
    // BullMQ keeps with a job which worker has it, under this name: by that a lock which has run out can be taken again.
    this.#worker.opts.name = this.#worker.id;
    for (const copy of this.#client.copies) errors.watch(copy);
    this.#untold = askAgain(this.#worker, (error) => errors.tell(error));
    this.#listen();
  }

  #listen(): void {
    const worker = this.#worker;
    const { lockDuration, maxStalledCount } = this.#options;
    worker.on('error', (error) => this.#errors.tell(lostResult(error, lockDuration)));
    worker.on('stalled', (id) => {
      this.#host.warn(
        `Task ${describeName(id)} lost its worker, which ended or did not answer for ${lockDuration} ms: it runs again, unless that has happened more than ${maxStalledCount} times.`,
      );
    });
    worker.on('lockRenewalFailed', (ids) => {
      for (const id of ids) this.#lose(id, 'another worker may have it');
    });
    worker.on('failed', (job) => {
      // All other failures came from #process, and are known.
      if (job?.deferredFailure === undefined) return;
      this.#lose(job.id, 'it is kept as failed');
      this.#host.error(
        engineError(
          `Task ${describeName(job.name)} (${describeName(String(job.id))}) lost its worker more than ${maxStalledCount} times and is kept as failed: ${describe(job.deferredFailure)}.`,
        ),
      );
    });
  }

  async #process(job: BullMQ.Job, token: string | undefined): Promise<unknown> {
    if (!isTaskJob(job)) {
      const error = engineError(
        `Expected job ${describe(job.id)} of queue ${this.#options.queue} to be a task of express-background-tasks, got ${describe(job.name)}: it is kept as failed.`,
      );
      this.#host.error(error);
      // BullMQ counts by it, whatever it is.
      job.opts.attempts = 1;
      throw failure(error, false);
    }
    const envelope = envelopeOf(job);
    const attempt = attemptsOf(job) + 1;
    const retryInMs = retryInMsAfter(attempt, retryOf(job));
    const flight = this.#begin(envelope.id);
    const { signal } = flight.controller;
    try {
      const result = await this.#run(envelope, { attempt, retryInMs, stagedAt: job.timestamp, signal });
      return await (signal.aborted ? lost(flight) : this.#tell(job, token, result, retryInMs));
    } finally {
      this.#end(flight);
    }
  }

  #begin(id: string): InFlight {
    const flight: InFlight = { id, controller: this.#spareControllers.pop() ?? new AbortController() };
    this.#supersede(flight);
    this.#inFlight.push(flight);
    return flight;
  }

  #end(flight: InFlight): void {
    takeOut(this.#inFlight, flight);
    flight.ended?.resolve();
    if (!flight.controller.signal.aborted) this.#spareControllers.push(flight.controller);
    if (this.#inFlight.length === 0) this.#whenNoneInFlight?.();
  }

  /** No renewal will tell of a lock that was lost to this worker itself: BullMQ renews by the id, and has the new lock. */
  #supersede(next: InFlight): void {
    const before = this.#inFlight.findLast(({ id }) => id === next.id);
    if (before === undefined) return;
    next.ended = deferred();
    before.next = next.ended.promise;
    this.#lose(next.id, 'this worker has been given it again');
  }

  /** Ends the runs of a task, since the result of none can be kept. */
  #lose(taskId: string | undefined, sequel: string): void {
    for (const { id, controller } of this.#inFlight) {
      if (id === taskId)
        controller.abort(engineError(`The lock of task ${id} could not be renewed in time: ${sequel}.`));
    }
  }

  #tell(job: TaskJob, token: string | undefined, result: WorkResult, retryInMs: number | undefined): unknown {
    switch (result.kind) {
      case 'completed':
        return { value: result.value } satisfies JobResult;
      case 'postponed':
        return postpone(job, token, result.delayMs);
      case 'failed':
        setFailureOptions(job);
        if (retryInMs !== undefined) this.#waits.set(job, retryInMs);
        // BullMQ itself does not count the attempts in which a worker died.
        throw failure(result.error, result.retry && retryInMs !== undefined);
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const closed = this.#worker.close().catch((error: unknown) => this.#errors.tell(error));
    await this.#noneInFlight();
    // close() of BullMQ waits for a connection, which may not come back.
    await doneWithin(STOP_GRACE, closed);
    this.disconnect();
  }

  #noneInFlight(): Promise<void> {
    const { promise, resolve } = deferred();
    if (this.#inFlight.length === 0) resolve();
    this.#whenNoneInFlight = resolve;
    return promise;
  }

  /** Tasks in flight go on, but their results are lost: they run again in another worker. */
  disconnect(): void {
    const ids = this.#isConnected ? this.#untold() : [];
    if (ids.length > 0) this.#host.warn(untold(ids));
    this.#isConnected = false;
    this.#client.disconnectAll();
  }
}

/** Tells BullMQ nothing: Redis would refuse the result of a run that has lost its lock. */
async function lost({ next }: InFlight): Promise<never> {
  // When a run has ended, BullMQ renews no lock of its task any more, be it that of a later run.
  await next;
  throw new DelayedError();
}

async function postpone(job: TaskJob, token: string | undefined, delayMs: number): Promise<never> {
  await job.moveToDelayed(Date.now() + delayMs, token);
  throw new DelayedError();
}

/** A new error for BullMQ: by its name or message it might take the task's error for one of its own. */
function failure(error: Error, mayRetry: boolean): Error {
  const message = error.message === RATE_LIMIT_MESSAGE ? `${error.message}.` : error.message || error.name;
  const told = mayRetry ? new Error(message) : new UnrecoverableError(message);
  told.stack = stackWithFacts(error);
  return told;
}
