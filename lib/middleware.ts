/** `backgroundTasks(options)`: the whole story on one screen. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ambientList } from './ambient.ts';
import type { BackgroundTasks, DurableBackgroundTasks } from './background-tasks.ts';
import { type CloseOptions, checkCloseOptions, close } from './close.ts';
import type { CloseReport } from './close-report.ts';
import type { EngineStats, TaskEngine } from './durable/engine.ts';
import type { EventListener, EventName } from './events.ts';
import { find, findDurable } from './find.ts';
import type { TaskHandle } from './handle.ts';
import { Instance } from './instance.ts';
import { carryInstance } from './instance-of.ts';
import type { BackgroundTasksOptions } from './options/middleware.ts';
import { resolveOptions } from './options/resolved.ts';
import { type AddOptions, resolveAddOptions } from './options/task.ts';
import { ResponseTasks } from './response-tasks.ts';
import { statsOf } from './stats.ts';
import type { TaskAdder, TaskList } from './task-list.ts';

/**
 * Makes the middleware that puts a list of background tasks on `res.locals.backgroundTasks`.
 *
 * A handler adds functions with their arguments; they start when the response has ended. Make it once, when the
 * application starts: it owns the worker threads. It works under Express 4 and 5, Connect and bare `node:http`.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type;
 * `ERR_BACKGROUND_THREAD_START` if `pool.minThreads` asks for threads and Node refuses their options;
 * `ERR_BACKGROUND_PROCESS_START` if `processes.minProcesses` asks for processes and they cannot be started.
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
// If only run time tells whether there is an engine, what `find` returns has to be awaited.
export function backgroundTasks(
  options: BackgroundTasksOptions & { readonly engine: TaskEngine | undefined },
): BackgroundTasks | DurableBackgroundTasks;
export function backgroundTasks(options?: BackgroundTasksOptions): BackgroundTasks;
export function backgroundTasks(options?: BackgroundTasksOptions): BackgroundTasks | DurableBackgroundTasks {
  const instance = new Instance(resolveOptions(options));
  const { runtime } = instance;
  const { ambient } = instance.options;
  let closing: Promise<CloseReport> | undefined;

  function backgroundTasksMiddleware(req: IncomingMessage, res: ServerResponse, next: () => void): void {
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
      runtime.reporter.events.on(event, listener);
      return background;
    },
    off(event: EventName, listener: EventListener<EventName>) {
      runtime.reporter.events.off(event, listener);
      return background;
    },
    async [Symbol.asyncDispose]() {
      await background.close();
    },
    ...(instance.options.engine === undefined ? {} : durableControls(instance)),
  }) as BackgroundTasks;
  return carryInstance(background, instance);
}

/**
 * The response's list with this instance, reused where the middleware is mounted twice. A list of another instance is
 * replaced, and so is that of another response, where responses share one `locals`.
 */
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
  if (present instanceof ResponseTasks && present.isOf(res, instance)) return present;
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
    // Not an async function: a promise of its own would reject unhandled where nobody looks at it.
    ready: () => durable?.ready ?? Promise.resolve(),
    engineStats: async () => durable?.stats() ?? NOTHING_HELD,
  };
}
