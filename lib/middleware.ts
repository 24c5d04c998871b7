/** `backgroundTasks(options)`: the whole story on one screen. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ambientList } from './ambient.ts';
import { type CloseOptions, type CloseReport, checkCloseOptions, close } from './close.ts';
import { describe } from './describe.ts';
import type { DurableTask, EngineStats, TaskEngine } from './durable/engine.ts';
import { numberInId } from './durable/task-id.ts';
import { BackgroundTaskError } from './errors.ts';
import { EVENT_NAMES, type EventListener, type EventName } from './events.ts';
import type { TaskHandle } from './handle.ts';
import { Instance } from './instance.ts';
import type { AddOptions, BackgroundTasksOptions } from './options.ts';
import type { Outcome } from './outcome.ts';
import { resolveAddOptions, resolveOptions } from './resolve-options.ts';
import { type BackgroundTasksStats, statsOf } from './stats.ts';
import type { Task } from './task.ts';
import { ResponseTasks, type TaskAdder, type TaskList } from './task-list.ts';

/** What `find(id)` comes to where no engine keeps tasks. */
export type FoundTask = TaskHandle | Outcome | undefined;

/**
 * The middleware, and what an application does with its background tasks outside of requests.
 *
 * `Found` is what `find(id)` returns; with an engine it has to ask, see {@link DurableBackgroundTasks}.
 */
export interface BackgroundTasks<Found = FoundTask> extends TaskAdder {
  (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void;

  /** Adds a task that has no response: it starts at once. See {@link TaskAdder.add}. */
  add<Args extends unknown[], Value>(task: Task<Args, Value>, ...args: Args): TaskHandle<Awaited<Value>>;

  /** Options for the tasks added through what it returns. See {@link TaskList.with}. */
  with(options: AddOptions): TaskAdder;

  /** Resolves when nothing is waiting, running or between two attempts. Tasks whose response is under way count as waiting. */
  idle(): Promise<void>;

  /**
   * Takes no more tasks, lets those that are in finish (and those that running tasks add), then aborts the signals of
   * what is left, then ends the threads and processes. Call it once the server has stopped taking requests. Every further call returns the first one's promise.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type, before anything is closed.
   * @example
   * const { abandoned } = await background.close({ timeout: 10_000 });
   * for (const { name, id } of abandoned) console.error(`lost at shutdown: ${name} ${id}`);
   */
  close(options?: CloseOptions): Promise<CloseReport>;

  /** Counts by state and executor, the backlog, the threads, and percentiles of waiting and running. */
  stats(): BackgroundTasksStats;

  /**
   * The handle of a task that has not settled, or the outcome of one that has, while the history keeps it. With an
   * engine, a promise for these or for a durable task of any process, as its engine knows it.
   */
  find(id: string): Found;

  /**
   * Calls `listener` at every such event. A listener that throws is logged, and harms nobody.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an event that does not exist, or a listener that is no function.
   */
  on<Name extends EventName>(event: Name, listener: EventListener<Name>): this;

  /** Ends what `on` began. */
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
   * such function.
   */
  ready(): Promise<void>;

  /**
   * How many tasks the engine holds, those of all processes.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if it does not answer.
   */
  engineStats(): Promise<EngineStats>;
}

/** Where the testing entry finds the instance behind a middleware; of the registry, for the sake of the two builds. */
export const INSTANCE: unique symbol = Symbol.for('express-background-tasks.instance');

/**
 * Makes the middleware that puts a list of background tasks on `res.locals.backgroundTasks`.
 *
 * A handler adds functions with their arguments; they start when the response has ended. Make it once, when the
 * application starts: it owns the worker threads. It works under Express 4 and 5, Connect and bare `node:http`.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type;
 * `ERR_BACKGROUND_THREAD_START` if `pool.minThreads` asks for threads and Node refuses their options.
 * @example
 * const background = backgroundTasks({ pool: { maxThreads: 4 } });
 * app.use(background);
 * app.post('/users', (req, res) => {
 *   res.locals.backgroundTasks.add(sendWelcome, req.body.email);
 *   res.status(201).end();
 * });
 */
export function backgroundTasks(
  options: BackgroundTasksOptions & { readonly engine: TaskEngine },
): DurableBackgroundTasks;
export function backgroundTasks(options?: BackgroundTasksOptions): BackgroundTasks;
export function backgroundTasks(options?: BackgroundTasksOptions): BackgroundTasks | DurableBackgroundTasks {
  const instance = new Instance(resolveOptions(options));
  const { runtime } = instance;
  const { ambient } = instance.options;
  let closing: Promise<CloseReport> | undefined;

  function backgroundTasksMiddleware(req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void {
    instance.watch?.requested();
    const list = listFor(instance, req, res);
    if (ambient) ambientList.run(list, next);
    else next();
  }

  const background: BackgroundTasks = Object.assign(backgroundTasksMiddleware, {
    add: (task: unknown, ...args: unknown[]) => instance.addDetached(task, args).handle,
    with(taskOptions: AddOptions): TaskAdder {
      const resolved = resolveAddOptions(taskOptions);
      return { add: (task, ...args) => instance.addDetached(task, args, resolved).handle as TaskHandle<never> };
    },
    idle: () => runtime.backlog.idle(),
    async close(closeOptions: CloseOptions = {}) {
      const checked = checkCloseOptions(closeOptions);
      closing ??= close(instance, checked).finally(() => instance.watch?.end());
      return closing;
    },
    stats: () => statsOf(instance),
    find: (id: string) => find(instance, id),
    on(event: EventName, listener: EventListener<EventName>) {
      checkListener(event, listener);
      runtime.reporter.events.on(event, listener);
      return background;
    },
    off(event: EventName, listener: EventListener<EventName>) {
      checkListener(event, listener);
      runtime.reporter.events.off(event, listener);
      return background;
    },
    async [Symbol.asyncDispose]() {
      await background.close();
    },
    ...(instance.options.engine === undefined ? {} : durableControls(instance)),
  }) as BackgroundTasks;
  return Object.defineProperty(background, INSTANCE, { value: instance });
}

/** The response's list with this instance. The middleware may be mounted twice; another instance's list gives way. */
function listFor(
  instance: Instance,
  req: IncomingMessage,
  res: ServerResponse & { locals?: Record<string, unknown> },
): TaskList {
  // Connect and bare node:http know no locals.
  let { locals } = res;
  if (locals == null) {
    locals = Object.create(null) as Record<string, unknown>;
    res.locals = locals;
  }
  const present = locals['backgroundTasks'];
  if (present instanceof ResponseTasks && present.runtime === instance.runtime) return present;
  const list = new ResponseTasks(instance, req, res);
  locals['backgroundTasks'] = list;
  return list;
}

const NOTHING_HELD: EngineStats = { held: 0, waiting: 0, running: 0, failed: 0 };

/** What is different where there is an engine. In tests nothing is asked of it. */
function durableControls(instance: Instance): Pick<DurableBackgroundTasks, 'find' | 'ready' | 'engineStats'> {
  const { durable } = instance;
  return {
    find: (id) => findDurable(instance, id),
    ready: async () => durable?.ready,
    engineStats: async () => durable?.stats() ?? NOTHING_HELD,
  };
}

function find({ runtime }: Instance, id: string): FoundTask {
  const text = String(id);
  const number = numberInId(text) ?? Number.parseInt(text.split('-')[1] ?? '', 36);
  const found = runtime.backlog.find(number)?.handle ?? runtime.reporter.history.find(number);
  return found?.id === id ? found : undefined;
}

/** The engine knows more of a durable task than the process that handed it over; only it knows of those of others. */
async function findDurable(instance: Instance, id: string): Promise<FoundTask | DurableTask> {
  const known = numberInId(String(id)) === undefined ? undefined : await instance.durable?.find(id);
  return known ?? find(instance, id);
}

function checkListener(event: unknown, listener: unknown): void {
  if (!(EVENT_NAMES as readonly unknown[]).includes(event)) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_OPTION',
      `Expected an event to be one of ${EVENT_NAMES.join(', ')}, got ${describe(event)}.`,
    );
  }
  if (typeof listener !== 'function') {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_OPTION',
      `Expected the listener of '${event}' to be a function, got ${describe(listener)}.`,
    );
  }
}
