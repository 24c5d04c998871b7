/** `createWorker()`: a process that runs durable tasks, and adds none. */

import type { DurableBackgroundTasks } from './background-tasks.ts';
import type { EventListener, EventName } from './events.ts';
import { instanceOf } from './instance-of.ts';
import { backgroundTasks } from './middleware.ts';
import { resolveWorkerOptions, type WorkerOptions } from './options/create-worker.ts';

/** What `createWorker` resolves to: the control methods of `backgroundTasks`. */
export interface TaskWorker extends Pick<DurableBackgroundTasks, 'idle' | 'close' | 'stats' | 'engineStats'> {
  /** The names of the tasks that the worker runs. */
  readonly tasks: readonly string[];
  /** As in {@link DurableBackgroundTasks.on}. Returns the worker. */
  on<Name extends EventName>(event: Name, listener: EventListener<Name>): this;
  /** Removes a listener that `on` has added. Returns the worker. */
  off<Name extends EventName>(event: Name, listener: EventListener<Name>): this;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Runs the durable tasks of every module that was registered by `durable()` in this process: import the registry first.
 *
 * Resolves when the worker takes tasks. While the engine cannot be reached it waits and tries again, and says so in the
 * log. `close()` fetches no more tasks, lets those that run finish, and gives the rest back.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type;
 * `ERR_BACKGROUND_REGISTRY` where nothing is registered, a module does not load, or an export is missing.
 * @example
 * import './tasks/registry.js';
 * const worker = await createWorker({ engine: bullmq({ connection: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' }), concurrency: 8 });
 * process.once('SIGTERM', () => worker.close({ timeout: 30_000 }));
 */
export async function createWorker(options: WorkerOptions): Promise<TaskWorker> {
  const background = backgroundTasks(resolveWorkerOptions(options));
  const durable = instanceOf(background)?.durable;
  try {
    await durable?.readyUnlogged();
  } catch (thrown) {
    await background.close({ timeout: 0 });
    throw thrown;
  }
  const { idle, close, stats, engineStats } = background;
  const worker: TaskWorker = {
    tasks: [...(durable?.tasks.keys() ?? [])],
    idle,
    close,
    stats,
    engineStats,
    on(event, listener) {
      background.on(event, listener);
      return worker;
    },
    off(event, listener) {
      background.off(event, listener);
      return worker;
    },
    [Symbol.asyncDispose]: background[Symbol.asyncDispose],
  };
  return worker;
}
