/** The durable side of one `backgroundTasks()`: its engine, the hand-over of tasks to it, and the work that comes from it. */
import { deferred } from '../deferred.ts';
import { BackgroundTaskError, codeOf, optionError } from '../errors.ts';
import type { LocalExecutors } from '../executors/executor.ts';
import type { Notices } from '../notices.ts';
import type { ResolvedDurableOptions, ResolvedWorkOptions } from '../options/durable.ts';
import { processWide } from '../process-wide.ts';
import type { TaskDefinition } from '../task.ts';
import { nextTurn } from '../time/real-time.ts';
import { doneWithin, SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import type { DurableTask, EngineHost, EngineStats, EngineWorker, TaskEngine } from './engine.ts';
import { EngineLink } from './engine-link.ts';
import { HandOver } from './hand-over.ts';
import { RecentlyTold } from './recently-told.ts';
import { checkRegistry } from './registry-check.ts';
import { type KnownTasks, type WorkHost, work } from './work.ts';

interface DurableTasksOptions {
  readonly engine: TaskEngine;
  readonly durable: ResolvedDurableOptions;
  readonly work: ResolvedWorkOptions | undefined;
}

/** How long the engine may take to be closed, in milliseconds, whatever time is left. */
const LONGEST_CLOSE = 4 * SECOND;
const SHORTEST_CLOSE = 1 * SECOND;
/** How long the engine may take to answer a question, in milliseconds. */
const ASK_LIMIT = 5 * SECOND;

/** Engines that belong to an instance, of whichever copy of the package. */
const taken = processWide('engines', () => new WeakSet<TaskEngine>());

/**
 * To be called before anything is made that would have to be ended. The engine is marked as taken only after that, so
 * that a failed `backgroundTasks()` leaves it for the next.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an engine that another instance has: the first to close would close the engine for both.
 */
export function checkNotTaken(engine: TaskEngine): void {
  if (!taken.has(engine)) return;
  throw optionError(
    `Expected each backgroundTasks() and createWorker() to have an engine of its own, got a ${engine.name} engine that another one uses or has used.`,
  );
}

export class DurableTasks {
  readonly engine: TaskEngine;
  readonly handOver: HandOver;
  /** The tasks that are run here, by name; none before `ready`. */
  tasks: ReadonlyMap<string, TaskDefinition> = new Map();
  /** Resolves when the engine has started and, with the option `work`, tasks are fetched. Rejects if it is closed before. */
  readonly ready: Promise<void>;
  readonly #options: DurableTasksOptions;
  readonly #link: EngineLink;
  readonly #notices: Notices;
  readonly #closed = deferred<never>();
  /** Whether the caller of {@link readyUnlogged} tells why `ready` has rejected. */
  #isToldElsewhere = false;
  #worker: EngineWorker | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: DurableTasksOptions, notices: Notices, executors: LocalExecutors, host: WorkHost) {
    this.#options = options;
    this.#notices = notices;
    this.engine = options.engine;
    taken.add(this.engine);
    const engineHost: EngineHost = {
      warn: (message) => notices.engineWarned(this.engine.name, message),
      error: (error) => notices.engineFailed(this.engine.name, toError(error)),
    };
    this.#link = new EngineLink(this.engine, engineHost, options.work !== undefined);
    this.handOver = new HandOver(this.#link, options.durable, (task, error) => host.warn(task, error));
    this.ready = Promise.race([this.#start(executors, host), this.#closed.promise]);
    this.ready.catch((error: Error) => {
      // No news: it was close() that was called.
      const isNews = !this.#isToldElsewhere && codeOf(error) !== 'ERR_BACKGROUND_CLOSED';
      if (isNews) notices.engineFailed(this.engine.name, error);
    });
  }

  /** For a caller who hears it out, and tells itself why it has rejected. Who asks for `ready` may have gone on without it. */
  readyUnlogged(): Promise<void> {
    this.#isToldElsewhere = true;
    return this.ready;
  }

  async #start(executors: LocalExecutors, host: WorkHost): Promise<void> {
    const { work: workOptions } = this.#options;
    if (workOptions === undefined) return this.#link.started;
    // By the next turn, modules that are imported beside this one have registered their tasks.
    await nextTurn();
    if (this.#stopping !== undefined) return;
    const tasks = await checkRegistry(executors, (module, afterMs) => {
      if (this.#stopping === undefined) this.#notices.moduleIsSlow(module, afterMs);
    });
    this.tasks = tasks;
    await this.#link.started;
    if (this.#stopping !== undefined) return;
    const { concurrency, unknownFor } = workOptions;
    const known: KnownTasks = { byName: tasks, unknownFor, unknownTold: new RecentlyTold() };
    this.#worker = await this.#link.untilDone(async () => {
      if (this.#stopping !== undefined) return undefined;
      return this.engine.work((envelope, context) => work(envelope, context, known, host), { concurrency });
    });
    // stop() was called while the engine made the worker.
    if (this.#stopping !== undefined) await this.#stopWorker();
  }

  /** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an engine that cannot add a task in a transaction. */
  assertTransactions(taskName: string): void {
    if (this.engine.features.transactions) return;
    throw optionError(
      `Expected \`transaction\` of with() to be used with an engine that has transactions, got ${this.engine.name}: it cannot add task ${taskName} in one.`,
    );
  }

  find(id: string): Promise<DurableTask | undefined> {
    return this.#link.call('find a task', ASK_LIMIT, (engine) => engine.find(id));
  }

  stats(): Promise<EngineStats> {
    return this.#link.call('count its tasks', ASK_LIMIT, (engine) => engine.stats());
  }

  /** Fetches no more tasks. Those that were fetched go on. */
  stop(): void {
    if (this.#stopping !== undefined) return;
    // Before anything is ended: what `ready` waits for may fail by that.
    this.#closed.reject(
      new BackgroundTaskError(
        'ERR_BACKGROUND_CLOSED',
        `Expected ${this.engine.name} to start, but background.close() was called before it had.`,
      ),
    );
    this.#stopping = this.#stopWorker();
  }

  /** Never rejects. */
  async #stopWorker(): Promise<void> {
    try {
      await this.#worker?.stop();
    } catch (thrown) {
      this.#notices.engineFailed(this.engine.name, toError(thrown));
    }
  }

  /**
   * To be called when every task is handed over, and none that was fetched still runs.
   *
   * @param timeLeft in milliseconds, until `close` is to have come to its end.
   */
  async close(timeLeft: number): Promise<void> {
    const limit = Math.min(Math.max(timeLeft, SHORTEST_CLOSE), LONGEST_CLOSE);
    this.stop();
    await doneWithin(limit / 2, this.#stopping as Promise<void>);
    await this.#link.close(limit / 2);
  }
}
