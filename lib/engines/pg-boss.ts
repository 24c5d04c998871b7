/** Durable tasks in Postgres, kept by pg-boss. A task that is held is a job with a later start. */
import type { ConstructorOptions } from 'pg-boss';
import type {
  DiscardResult,
  DurableTask,
  EngineHost,
  EngineStats,
  EngineWorker,
  EngineWorkOptions,
  ReleaseResult,
  StagedTask,
  StageOptions,
  TaskEngine,
  WorkFunction,
} from '../durable/engine.ts';
import { engineError } from '../errors.ts';
import { doneWithin, SECOND } from '../time/timers.ts';
import { Connections } from './pg-boss/connections.ts';
import {
  type Database,
  poolDatabase,
  transactionDatabase,
  wasOutside,
  watchPool,
  whatWasGiven,
} from './pg-boss/database.ts';
import { NotifyListener } from './pg-boss/notify-listener.ts';
import { type PgBossOptions, type ResolvedPgBossOptions, resolvePgBossOptions } from './pg-boss/options.ts';
import { durableTask, type Found, stagedJson } from './pg-boss/payload.ts';
import { checkNode, loadPgBoss } from './pg-boss/peer.ts';
import { RepeatedErrors } from './pg-boss/repeated-errors.ts';
import { ResultWriter } from './pg-boss/result-writer.ts';
import { runAlone, runRepeatable } from './pg-boss/run-alone.ts';
import { makeSchema } from './pg-boss/schema.ts';
import { checkPostgres, warnOfEncoding } from './pg-boss/server-check.ts';
import { channelFor, quoted, type Statements, statementsFor } from './pg-boss/statements.ts';
import { type EngineParts, PgBossWorker } from './pg-boss/worker.ts';
import { isTaskId } from './task-check.ts';

/** Long, since pg-boss may have to change its tables. */
const START_LIMIT = 60 * SECOND;
/** A connection may be lost without a sign: a query is given up after a while, and idle connections are probed by TCP. */
const POOL_DEFAULTS = {
  connectionTimeoutMillis: 5 * SECOND,
  query_timeout: START_LIMIT,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10 * SECOND,
};
const CLOSE_LIMIT = 3 * SECOND;
/** How often pg-boss looks for tasks that have been kept for long enough, in seconds. */
const MAINTENANCE_INTERVAL = 600;

/**
 * Keeps durable tasks in Postgres (13 or later), by pg-boss 12. It needs Node 22.12 or later.
 *
 * `with({ transaction: client })` stages tasks in a transaction of yours: a client of pg, or an object with
 * `executeSql`.
 *
 * A task whose worker dies is given to another, which counts as an attempt. It is given to another three times even
 * where it has no attempts left.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type;
 * `ERR_BACKGROUND_PEER` on an older Node.
 * @example
 * app.use(backgroundTasks({ engine: pgBoss({ connection: 'postgres://localhost/shop' }) }));
 */
export function pgBoss(options: PgBossOptions): TaskEngine {
  checkNode();
  return new PgBossEngine(resolvePgBossOptions(options));
}

/** What the engine has between start() and close(). */
interface Started extends EngineParts {
  /** Takes the engine's listener off a user's pool. */
  readonly unwatchPool: () => void;
}

class PgBossEngine implements TaskEngine {
  readonly name = 'pg-boss';
  readonly features = { transactions: true };
  readonly #options: ResolvedPgBossOptions;
  readonly #statements: Statements;
  readonly #channel: string;
  readonly #connections = new Connections();
  readonly #workers = new Set<PgBossWorker>();
  #started: Started | undefined;
  #isClosed = false;
  readonly #hasClosed = (): boolean => this.#isClosed;

  constructor(options: ResolvedPgBossOptions) {
    const schema = quoted(options.schema);
    this.#options = { ...options, schema };
    this.#statements = statementsFor(schema);
    this.#channel = channelFor(schema, options.queue);
  }

  async start(host: EngineHost): Promise<void> {
    if (this.#started !== undefined) return;
    const starting = await this.#prepare(host);
    try {
      this.#checkOpen();
      const isConnected = await doneWithin(START_LIMIT, this.#connect(starting, host));
      if (!isConnected) throw engineError(`no answer within ${START_LIMIT} ms`);
      this.#checkOpen();
    } catch (error) {
      await this.#end(starting);
      throw error;
    }
    this.#started = starting;
    starting.errors.started();
  }

  async #prepare(host: EngineHost): Promise<Started> {
    const { PgBoss } = await loadPgBoss();
    const { connection, schema, queue, migrate, superviseIntervalSeconds } = this.#options;
    const errors = new RepeatedErrors(host);
    const given = whatWasGiven(connection);
    const boss = new PgBoss({
      ...(given.kind === 'options' && { ...POOL_DEFAULTS, stream: this.#connections.open, ...given.config }),
      ...(given.kind === 'pool' && { db: poolDatabase(given.pool) }),
      ...(given.kind === 'executor' && { db: given.db }),
      schema,
      migrate,
      createSchema: false,
      schedule: false,
      superviseIntervalSeconds,
      // The longer of the two decides when pg-boss finds a worker that is gone.
      monitorIntervalSeconds: superviseIntervalSeconds,
      maintenanceIntervalSeconds: MAINTENANCE_INTERVAL,
    } as ConstructorOptions);
    boss.on('error', (error) => errors.tell(error));
    boss.on('warning', ({ message, data }) => errors.warn({ message, type: (data as { type?: unknown })?.type }));
    const database = boss.getDb() as Database;
    return {
      boss,
      database,
      statements: this.#statements,
      errors,
      notifyListener: new NotifyListener(database, this.#channel, errors),
      resultWriter: new ResultWriter(database, this.#statements.writeResults, [queue, this.#channel], errors),
      unwatchPool: given.kind === 'pool' ? watchPool(given.pool, (error) => errors.tell(error)) : () => {},
    };
  }

  async #connect({ boss, database }: Started, host: EngineHost): Promise<void> {
    const { queue, schema, migrate } = this.#options;
    const own = database as { open?: () => Promise<void>; opened?: boolean };
    // The check comes before pg-boss makes tables, which an old Postgres can't have.
    if (own.opened === false) await own.open?.();
    const encoding = await checkPostgres(database);
    if (migrate) await makeSchema(database, schema);
    await boss.start();
    const policy = (await boss.getQueue(queue))?.policy;
    if (policy === undefined) await boss.createQueue(queue);
    else if (policy !== 'standard') {
      throw engineError(`Expected the queue ${queue} to have the policy standard, got ${policy}.`);
    }
    warnOfEncoding(encoding, host);
  }

  async stage(tasks: readonly StagedTask[], { transaction }: StageOptions): Promise<void> {
    const { database, errors } = this.#requireStarted('stage');
    const target = transaction === undefined ? undefined : transactionDatabase(transaction);
    if (tasks.length === 0) return;
    const { queue } = this.#options;
    const [text, values] = [this.#statements.stage, [stagedJson(tasks, this.#options), queue, this.#channel]];
    if (target !== undefined) {
      await target.executeSql(text, values);
      // A forgotten BEGIN, or a COMMIT that was sent before this statement.
      if (wasOutside(transaction)) errors.warn({ message: notInTransaction(tasks), type: 'not in a transaction' });
      return;
    }
    await runRepeatable(database, text, values, this.#hasClosed);
    errors.answered();
  }

  async release(ids: readonly string[]): Promise<readonly ReleaseResult[]> {
    const { queue } = this.#options;
    const released = await this.#changed('release', this.#statements.release, ids, [queue, this.#channel]);
    return ids.map((id) => (released.has(id) ? 'released' : 'already'));
  }

  async discard(ids: readonly string[]): Promise<readonly DiscardResult[]> {
    const discarded = await this.#changed('discard', this.#statements.discard, ids, [this.#options.queue]);
    return ids.map((id) => (discarded.has(id) ? 'discarded' : 'too-late'));
  }

  async #changed(
    method: string,
    statement: string,
    ids: readonly string[],
    parameters: readonly string[],
  ): Promise<ReadonlySet<string>> {
    const { database, errors } = this.#requireStarted(method);
    const known = ids.filter(isTaskId);
    if (known.length === 0) return new Set();
    const { rows } = await runAlone(database, statement, [known, ...parameters]);
    errors.answered();
    return new Set((rows as { id: string }[]).map(({ id }) => id));
  }

  async work(run: WorkFunction, { concurrency }: EngineWorkOptions): Promise<EngineWorker> {
    const worker = new PgBossWorker(this.#requireStarted('work'), this.#options, run, concurrency);
    this.#workers.add(worker);
    return {
      stop: async () => {
        await worker.stop();
        this.#workers.delete(worker);
      },
    };
  }

  async find(id: string): Promise<DurableTask | undefined> {
    const { database } = this.#requireStarted('find');
    if (!isTaskId(id)) return undefined;
    const { rows } = await runRepeatable(database, this.#statements.find, [id, this.#options.queue], this.#hasClosed);
    return rows[0] === undefined ? undefined : durableTask(id, rows[0] as Found);
  }

  async stats(): Promise<EngineStats> {
    const { database } = this.#requireStarted('stats');
    const { rows } = await runRepeatable(database, this.#statements.stats, [this.#options.queue], this.#hasClosed);
    const { held, waiting, running, failed } = rows[0] as EngineStats;
    return { held, waiting, running, failed };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const started = this.#started;
    this.#started = undefined;
    if (started === undefined) {
      this.#connections.cut();
      return;
    }
    for (const worker of this.#workers) worker.abandon();
    this.#workers.clear();
    await this.#end(started);
  }

  async #end({ boss, errors, notifyListener, resultWriter, unwatchPool }: Started): Promise<void> {
    errors.mute();
    resultWriter.close();
    const stopped = Promise.allSettled([notifyListener.close(), boss.stop({ graceful: false })]);
    await doneWithin(CLOSE_LIMIT, stopped);
    this.#connections.cut();
    unwatchPool();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw this.#notStarted('start');
  }

  #requireStarted(method: string): Started {
    if (this.#started === undefined) throw this.#notStarted(method);
    return this.#started;
  }

  #notStarted(method: string): Error {
    const fault = this.#isClosed ? 'it was closed' : 'it was not started yet';
    return new Error(`Expected the engine pg-boss to be open for ${method}(), but ${fault}.`);
  }
}

function notInTransaction(tasks: readonly StagedTask[]): string {
  const names = [...new Set(tasks.map(({ envelope }) => envelope.task))].join(', ');
  return `Expected the client that was given as \`transaction\` for ${names} to be in one, but it was in none: the task exists whatever becomes of the rest. Send BEGIN before the task is added, and await its \`accepted\` before COMMIT or ROLLBACK.`;
}
