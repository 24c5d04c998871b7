/** `addBackgroundTask()`: adding from any depth of a request's calls, without the response at hand. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { BackgroundTaskError } from './errors.ts';
import type { TaskHandle } from './handle.ts';
import { processWide } from './process-wide.ts';
import type { Task } from './task.ts';
import type { TaskList } from './task-list.ts';

/** The list of the request that the current code belongs to. */
export const ambientList: AsyncLocalStorage<TaskList> = processWide('ambient', () => new AsyncLocalStorage<TaskList>());

/**
 * The same as `res.locals.backgroundTasks.add`, for code that was not handed the response. Needs
 * `backgroundTasks({ ambient: true })`.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NO_REQUEST` outside a request, or where the option is not set; and all that `add` throws.
 * @example
 * // services/users.ts, called by a handler
 * export async function register(user: User) {
 *   await insert(user);
 *   addBackgroundTask(sendWelcome, user.email);
 * }
 */
export function addBackgroundTask<Args extends unknown[], Value>(
  task: Task<Args, Value>,
  ...args: Args
): TaskHandle<Awaited<Value>> {
  const list = ambientList.getStore();
  if (list !== undefined) return list.add(task, ...args);
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_NO_REQUEST',
    'Expected addBackgroundTask() to be called within a request that passed backgroundTasks({ ambient: true }), got a call outside of one: set the option, mount the middleware before this code, once more behind a middleware that loses the async context, or use background.add() where there is no request.',
  );
}
