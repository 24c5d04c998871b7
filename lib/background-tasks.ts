/** What `backgroundTasks()` returns. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { CloseOptions } from './close.ts';
import type { CloseReport } from './close-report.ts';
import type { DurableTask, EngineStats } from './durable/engine.ts';
import type { EventListener, EventName } from './events.ts';
import type { FoundTask } from './find.ts';
import type { TaskHandle } from './handle.ts';
import type { AddOptions } from './options/task.ts';
import type { BackgroundTasksStats } from './stats.ts';
import type { Task } from './task.ts';
import type { TaskAdder } from './task-list.ts';

/**
 * The middleware, and what an application does with its background tasks outside of requests.
 *
 * `Found` is what `find(id)` returns; with an engine it has to ask, see {@link DurableBackgroundTasks}.
 */
export interface BackgroundTasks<Found = FoundTask> extends TaskAdder {
  (req: IncomingMessage | Http2ServerRequest, res: ServerResponse | Http2ServerResponse, next: () => void): void;

  /** Adds a task that has no response: it starts at once. See {@link TaskAdder.add}. */
  add<Args extends unknown[], Value>(task: Task<Args, Value>, ...args: Args): TaskHandle<Awaited<Value>>;

  /** Options for the tasks added through what it returns. See {@link TaskList.with}. */
  with(options: AddOptions): TaskAdder;

  /**
   * Resolves when nothing is waiting, running or between two attempts. Tasks whose response is under way count as waiting.
   *
   * @example
   * await background.idle(); // in a test, after the requests
   */
  idle(): Promise<void>;

  /**
   * Refuses new tasks and waits for those accepted before (and for those that running tasks add); then aborts the
   * signals of what is left, and ends the threads and processes. Call it once the server has stopped taking requests.
   * Every further call waits for the first and returns its report; its options are not used.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type, before anything is closed.
   * @example
   * const { abandoned } = await background.close({ timeout: 10_000 });
   * for (const { name, id } of abandoned) console.error(`lost at shutdown: ${name} ${id}`);
   */
  close(options?: CloseOptions): Promise<CloseReport>;

  /**
   * Counts by state and executor, the backlog, the threads, and percentiles of waiting and running.
   *
   * @example
   * app.get('/metrics', (req, res) => res.json(background.stats()));
   */
  stats(): BackgroundTasksStats;

  /**
   * The handle of a task that has not settled, or the outcome of one that has, for as long as the history keeps it. With
   * an engine, a promise of these, or of a durable task of any process as the engine knows it. It resolves to `undefined`
   * for a task that was handed over and that the engine does not know, or no longer knows.
   *
   * @example
   * app.get('/tasks/:id', (req, res) => res.json({ state: background.find(req.params.id)?.state }));
   */
  find(id: string): Found;

  /**
   * Calls `listener` at every such event. What a listener throws, or rejects with, is logged, and changes nothing else.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an event that does not exist, or a listener that is no function.
   * @example
   * background.on('settled', ({ name, state, ranMs }) => metrics.timing(`task.${name}.${state}`, ranMs));
   */
  on<Name extends EventName>(event: Name, listener: EventListener<Name>): this;

  /** Removes a listener that `on` has added. */
  off<Name extends EventName>(event: Name, listener: EventListener<Name>): this;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The same with an engine: what it keeps can be asked for from any process. */
export interface DurableBackgroundTasks extends BackgroundTasks<Promise<FoundTask | DurableTask>> {
  /**
   * Resolves when the engine was reached and, with `work`, tasks are taken. Stays pending while the engine is down.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_REGISTRY` with `work`, if a registered module does not load, or has no
   * such function. `ERR_BACKGROUND_CLOSED` if `close()` is called before.
   * @example
   * await background.ready(); // before the server listens, where it must not start without its engine
   */
  ready(): Promise<void>;

  /**
   * How many tasks the engine holds, those of all processes.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if it does not answer.
   */
  engineStats(): Promise<EngineStats>;
}
