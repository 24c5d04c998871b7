/** Durable tasks in Redis or Valkey, kept by BullMQ. A task that is held is a delayed job. */
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
import { codeOf, engineError } from '../errors.ts';
import { doneWithin, SECOND } from '../time/timers.ts';
import { type EngineClient, producerClient } from './bullmq/client.ts';
import { ConnectionErrors } from './bullmq/connection-errors.ts';
import { guardedScripts } from './bullmq/guards.ts';
import { durableTask, isOfOneMoment, isTaskJob, type JobData, newJob } from './bullmq/job.ts';
import { type BullMQOptions, type ResolvedBullMQOptions, resolveBullMQOptions } from './bullmq/options.ts';
import { Queue } from './bullmq/peers.ts';
import { RedisClock } from './bullmq/redis-clock.ts';
import { checkDatabase, checkOnePlace, checkVersions, warnOfSettings } from './bullmq/server-check.ts';
import { settledAll } from './bullmq/settled-all.ts';
import { BullMQWorker, type EngineParts } from './bullmq/worker.ts';
import { isTaskId } from './task-check.ts';

const START_LIMIT = 5 * SECOND;
/** How long workers may take to write down what came of their tasks. */
const STOP_LIMIT = 1.2 * SECOND;
/** How long Redis may take to answer QUIT. */
const QUIT_LIMIT = 0.4 * SECOND;

/** Some of BullMQ's keys of a queue, each of which is in a script with others. */
const USED_TOGETHER = ['wait', 'active', 'delayed', 'meta'] as const;

/** How often find() looks at a task whose state changes while it looks. */
const MOST_LOOKS = 3;

/** BullMQ's codes for a job that is not delayed, and for one that is not there. */
const NOT_HELD: ReadonlySet<unknown> = new Set([-3, -1]);

/**
 * Keeps durable tasks in Redis (6.2 or later) or Valkey, by BullMQ 6.
 *
 * Redis must be told to keep what it was given: `appendonly yes` and `maxmemory-policy noeviction`. Where it is not, a
 * warning says so at the start.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type.
 * @example
 * app.use(backgroundTasks({ engine: bullmq({ connection: 'redis://localhost:6379' }) }));
 */
export function bullmq(options: BullMQOptions): TaskEngine {
  return new BullMQEngine(resolveBullMQOptions(options));
}

/** What the engine has between start() and close(). */
interface Started extends EngineParts {
  readonly client: EngineClient;
  readonly queue: BullMQQueue<JobData>;
  readonly clock: RedisClock;
}

class BullMQEngine implements TaskEngine {
  readonly name = 'bullmq';
  readonly features = { transactions: false };
  readonly #options: ResolvedBullMQOptions;
  readonly #workers = new Set<BullMQWorker>();
  /** The client of a start that is under way. */
  #starting: EngineClient | undefined;
  #started: Started | undefined;
  #isClosed = false;

  constructor(options: ResolvedBullMQOptions) {
    this.#options = options;
  }

  async start(host: EngineHost): Promise<void> {
    if (this.#started !== undefined) return;
    const client = producerClient(this.#options.connection);
    const errors = new ConnectionErrors(host);
    errors.watch(client);
    this.#starting = client;
    try {
      const connecting = this.#connect(client, host, errors);
      if (!(await doneWithin(START_LIMIT, connecting))) {
        throw errors.last ?? new Error(`Expected Redis to answer within ${START_LIMIT} ms.`);
      }
      const { queue, clock } = await connecting;
      if (this.#isClosed) throw new Error('It was closed.');
      clock.start();
      this.#started = { host, client, queue, errors, clock };
      errors.unmute();
    } catch (thrown) {
      client.disconnectAll();
      throw errors.reasonFor(thrown);
    } finally {
      this.#starting = undefined;
    }
  }

  async #connect(
    client: EngineClient,
    host: EngineHost,
    errors: ConnectionErrors,
  ): Promise<Pick<Started, 'queue' | 'clock'>> {
    await client.connect();
    await checkDatabase(client);
    await checkVersions(client);
    const { queue: name, prefix } = this.#options;
    await checkOnePlace(
      client,
      USED_TOGETHER.map((key) => `${prefix}:${name}:${key}`),
    );
    const queue = new Queue<JobData>(name, { connection: client, prefix });
    queue.on('error', (error) => errors.tell(error));
    await queue.waitUntilReady();
    if (!client.isGuarded) {
      throw engineError(
        `Expected BullMQ to have the scripts ${guardedScripts.join(', ')}: this version of it is not supported.`,
      );
    }
    const clock = new RedisClock(client, host);
    await clock.read();
    await warnOfSettings(client, host);
    return { queue, clock };
  }

  #requireStarted(): Started {
    if (this.#started !== undefined) return this.#started;
    throw new Error(this.#isClosed ? 'It was closed.' : 'It was not started.');
  }

  /** Makes a call. Where it was given up for lack of a connection, the error says why there is none. */
  async #call<Result>(call: (started: Started) => Promise<Result>): Promise<Result> {
    const started = this.#requireStarted();
    try {
      return await call(started);
    } catch (thrown) {
      throw started.errors.reasonFor(thrown);
    }
  }

  async stage(tasks: readonly StagedTask[]): Promise<void> {
    await this.#call(({ client, clock, queue }) => {
      const now = clock.now();
      const jobs = tasks.map((task) => newJob(task, now, this.#options));
      // Not `queue.add`: that makes an object of each job first, with a backend of its own.
      const backend = queue.getBackend();
      return sendEach(client, jobs, (job) => backend.addJob(job, job.id));
    });
  }

  release(ids: readonly string[]): Promise<readonly ReleaseResult[]> {
    return this.#call(({ client, queue }) => sendEach(client, ids, (id) => releaseOne(queue, id)));
  }

  discard(ids: readonly string[]): Promise<readonly DiscardResult[]> {
    return this.#call(({ client, queue }) => sendEach(client, ids, (id) => discardOne(queue, id)));
  }

  async work(run: WorkFunction, { concurrency }: EngineWorkOptions): Promise<EngineWorker> {
    const started = this.#requireStarted();
    const worker = new BullMQWorker(started, this.#options, run, concurrency);
    this.#workers.add(worker);
    started.clock.warnOfDifference();
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

  /** `held` counts the tasks between two attempts as well: BullMQ keeps both in one place. */
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
    this.#starting?.disconnectAll();
    const started = this.#started;
    this.#started = undefined;
    if (started === undefined) return;
    const { client, queue, errors, clock } = started;
    clock.stop();
    await doneWithin(STOP_LIMIT, Promise.allSettled([...this.#workers].map((worker) => worker.stop())));
    errors.mute();
    for (const worker of this.#workers) worker.disconnect();
    await queue.close().catch(() => {});
    const quit = client.status === 'ready' ? client.quit().catch(() => {}) : Promise.resolve();
    await doneWithin(QUIT_LIMIT, quit);
    client.disconnectAll();
  }
}

/** In one round trip: Redis executes in order what is sent in one turn of the event loop. */
function sendEach<Item, Result>(
  client: EngineClient,
  items: readonly Item[],
  send: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  if (items.length > 1) client.writeTogether();
  return settledAll(items.map(send));
}

async function releaseOne(queue: BullMQQueue<JobData>, id: string): Promise<ReleaseResult> {
  try {
    await queue.getBackend().promote(id);
    return 'released';
  } catch (thrown) {
    if (!NOT_HELD.has(codeOf(thrown))) throw thrown;
    return 'already';
  }
}

/** The guard and the removal are one script: nothing can happen to the job between them. */
async function discardOne(queue: BullMQQueue<JobData>, id: string): Promise<DiscardResult> {
  return (await queue.remove(id, { removeChildren: false })) === 1 ? 'discarded' : 'too-late';
}
