/** Durable tasks in Redis or Valkey, kept by BullMQ: each is a delayed job while it is held. */
import type { Queue as BullMQQueue } from 'bullmq';
import type {
  DiscardResult,
  DurableTask,
  EngineHost,
  EngineStats,
  EngineWorker,
  EngineWorkOptions,
  ReleaseResult,
  StagedTask,
  TaskEngine,
  WorkFunction,
} from '../durable/engine.ts';
import { BackgroundTaskError, codeOf } from '../errors.ts';
import { doneWithin, SECOND } from '../timers.ts';
import { type EngineClient, producerClient } from './bullmq/client.ts';
import { ConnectionErrors } from './bullmq/connection-errors.ts';
import { durableTask, isOfOneMoment, isTaskId, isTaskJob, type JobData, type NewJob, newJob } from './bullmq/job.ts';
import { type BullMQOptions, type ResolvedBullMQOptions, resolveBullMQOptions } from './bullmq/options.ts';
import { Job, Queue } from './bullmq/peers.ts';
import { CLOCK_TOLERANCE, checkVersions, clockOffset, warnOfSettings } from './bullmq/server-check.ts';
import { BullMQWorker } from './bullmq/work.ts';

const START_LIMIT = 5 * SECOND;
const CLOCK_INTERVAL = 60 * SECOND;
/** For workers to write down what they have, and for a last answer. */
const STOP_LIMIT = 1.2 * SECOND;
const QUIT_LIMIT = 0.4 * SECOND;

/** How often a task is looked at that goes on meanwhile. */
const MOST_LOOKS = 3;

/** BullMQ's code for a job that is not delayed, and for one that is not there. */
const NOT_HELD: ReadonlySet<unknown> = new Set([-3, -1]);

/**
 * Keeps durable tasks in Redis (6.2 or later) or Valkey, by BullMQ 6.
 *
 * Redis must be told to keep what it was given: `appendonly yes` and `maxmemory-policy noeviction`. Where it is not, a
 * warning says so at the start.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION`.
 * @example
 * app.use(backgroundTasks({ engine: bullmq({ connection: 'redis://localhost:6379' }) }));
 */
export function bullmq(options: BullMQOptions): TaskEngine {
  return new BullMQEngine(resolveBullMQOptions(options));
}

/** What there is between start and close. */
interface Started {
  readonly host: EngineHost;
  readonly client: EngineClient;
  readonly queue: BullMQQueue<JobData>;
  readonly errors: ConnectionErrors;
  readonly clockTimer: NodeJS.Timeout;
}

class BullMQEngine implements TaskEngine {
  readonly name = 'bullmq';
  readonly features = { transactions: false };
  readonly #options: ResolvedBullMQOptions;
  readonly #workers = new Set<BullMQWorker>();
  #started: Started | undefined;
  /** By how many milliseconds the clock of Redis is ahead. */
  #clockOffset = 0;
  #hasWarnedOfClock = false;
  #isClosed = false;

  constructor(options: ResolvedBullMQOptions) {
    this.#options = options;
  }

  async start(host: EngineHost): Promise<void> {
    if (this.#started !== undefined) return;
    const client = producerClient(this.#options.connection);
    const errors = new ConnectionErrors(host);
    errors.watch(client);
    try {
      const connecting = this.#connect(client, host, errors);
      if (!(await doneWithin(START_LIMIT, connecting))) {
        throw errors.last ?? new Error(`Expected Redis to answer within ${START_LIMIT} ms.`);
      }
      const queue = await connecting;
      if (this.#isClosed) throw new Error('It was closed.');
      const clockTimer = setInterval(() => void this.#readClock(), CLOCK_INTERVAL).unref();
      this.#started = { host, client, queue, errors, clockTimer };
      errors.unmute();
    } catch (thrown) {
      client.disconnectAll();
      throw errors.reasonFor(thrown);
    }
  }

  async #connect(client: EngineClient, host: EngineHost, errors: ConnectionErrors): Promise<BullMQQueue<JobData>> {
    await client.connect();
    await checkVersions(client);
    const { queue: name, prefix } = this.#options;
    const queue = new Queue<JobData>(name, { connection: client, prefix });
    queue.on('error', (error) => errors.tell(error));
    await queue.waitUntilReady();
    if (!client.isGuarded) {
      throw new BackgroundTaskError(
        'ERR_BACKGROUND_ENGINE',
        'Expected BullMQ to have the scripts promote and removeJob: this version of it is not known here.',
      );
    }
    this.#clockOffset = await clockOffset(client);
    await warnOfSettings(client, host);
    return queue;
  }

  async #readClock(): Promise<void> {
    try {
      this.#clockOffset = await clockOffset(this.#requireStarted().client);
      this.#checkClock();
    } catch {
      // What is wrong with the connection is told elsewhere.
    }
  }

  /** When a hold is over is for workers to see, by their own clocks; tasks are staged by that of Redis. */
  #checkClock(): void {
    if (this.#hasWarnedOfClock || this.#workers.size === 0 || Math.abs(this.#clockOffset) <= CLOCK_TOLERANCE) return;
    this.#hasWarnedOfClock = true;
    const seconds = (Math.abs(this.#clockOffset) / SECOND).toFixed(1);
    const [direction, effect] = this.#clockOffset > 0 ? ['behind', 'late'] : ['ahead of', 'early'];
    this.#requireStarted().host.warn(
      `The clock of this worker is ${seconds} s ${direction} that of Redis: tasks that nobody releases, and retries, start that much too ${effect}.`,
    );
  }

  #requireStarted(): Started {
    if (this.#started !== undefined) return this.#started;
    throw new Error(this.#isClosed ? 'It was closed.' : 'It was not started.');
  }

  /** Tells why a call was given up. */
  async #call<Result>(call: (started: Started) => Promise<Result>): Promise<Result> {
    const started = this.#requireStarted();
    try {
      return await call(started);
    } catch (thrown) {
      throw started.errors.reasonFor(thrown);
    }
  }

  async stage(tasks: readonly StagedTask[]): Promise<void> {
    const now = Date.now() + this.#clockOffset;
    const jobs = tasks.map((task) => newJob(task, now, this.#options));
    await this.#call(async (started) => {
      if (jobs.length === 1) await addOne(started, jobs[0] as NewJob);
      else if (jobs.length > 1) await addAll(started, jobs);
    });
  }

  // Commands of one turn leave together, and Redis takes them in order: one round trip.
  release(ids: readonly string[]): Promise<readonly ReleaseResult[]> {
    return this.#call(({ queue }) =>
      settledAll(
        ids.map(async (id) => {
          try {
            await queue.getBackend().promote(id);
            return 'released';
          } catch (thrown) {
            if (!NOT_HELD.has(codeOf(thrown))) throw thrown;
            return 'already';
          }
        }),
      ),
    );
  }

  // The guard and the removal are one script: there is no moment in between.
  discard(ids: readonly string[]): Promise<readonly DiscardResult[]> {
    return this.#call(({ queue }) =>
      settledAll(
        ids.map(async (id) => ((await queue.remove(id, { removeChildren: false })) === 1 ? 'discarded' : 'too-late')),
      ),
    );
  }

  async work(run: WorkFunction, options: EngineWorkOptions): Promise<EngineWorker> {
    const { host, errors } = this.#requireStarted();
    const worker = new BullMQWorker(this.#options, run, options, host, errors);
    this.#workers.add(worker);
    this.#checkClock();
    return worker;
  }

  find(id: string): Promise<DurableTask | undefined> {
    return this.#call(async ({ queue }) => {
      if (!isTaskId(id)) return undefined;
      for (let looks = 1; ; looks += 1) {
        const [job, state] = await settledAll([queue.getJob(id), queue.getJobState(id)] as const);
        if (job === undefined || !isTaskJob(job)) return undefined;
        if (isOfOneMoment(job, state) || looks === MOST_LOOKS) return durableTask(job, state);
      }
    });
  }

  /** `held`: those that wait between two attempts are among them, since BullMQ keeps both in one place. */
  stats(): Promise<EngineStats> {
    return this.#call(async ({ queue }) => {
      const counts = await queue.getJobCounts('delayed', 'wait', 'prioritized', 'active', 'failed');
      const count = (...names: string[]): number => names.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
      return {
        held: count('delayed'),
        waiting: count('wait', 'prioritized'),
        running: count('active'),
        failed: count('failed'),
      };
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const started = this.#started;
    this.#started = undefined;
    if (started === undefined) return;
    const { client, queue, errors, clockTimer } = started;
    clearInterval(clockTimer);
    await doneWithin(STOP_LIMIT, Promise.allSettled([...this.#workers].map((worker) => worker.stop())));
    errors.mute();
    for (const worker of this.#workers) worker.disconnect();
    await queue.close().catch(() => {});
    if (client.status === 'ready')
      await doneWithin(
        QUIT_LIMIT,
        client.quit().catch(() => {}),
      );
    client.disconnectAll();
  }
}

async function addOne({ queue }: Started, { name, data, opts }: NewJob): Promise<void> {
  await queue.add(name, data, opts);
}

/** All of them or none: in a transaction of Redis, which BullMQ's own addBulk is not. */
async function addAll({ client, queue }: Started, jobs: readonly NewJob[]): Promise<void> {
  const transaction = (await queue.getBackend().client).multi();
  // They settle when they are queued here. What comes of them is in the results.
  await Promise.all(
    jobs.map(({ name, data, opts }) => new Job(queue, name, data, opts, opts.jobId).addJob(transaction)),
  );
  const results = (await transaction.exec()) ?? [];
  const error = results.find(([thrown]) => thrown)?.[0];
  if (error === undefined || error === null) return;
  // Redis was told to forget its scripts. Outside of a transaction they are sent again; ids make it the same tasks.
  if (error.message.includes('NOSCRIPT') && client.status === 'ready') {
    await queue.addBulk([...jobs]);
    return;
  }
  throw error;
}

/** Like `Promise.all`, but when it rejects, nothing is under way any more. */
async function settledAll<Results extends readonly unknown[]>(
  promises: readonly [...{ [Index in keyof Results]: Promise<Results[Index]> }],
): Promise<Results> {
  await Promise.allSettled(promises);
  return (await Promise.all(promises)) as unknown as Results;
}
