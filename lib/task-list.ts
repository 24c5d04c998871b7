/** What `res.locals.backgroundTasks` holds, as a handler sees it. */
import type { TaskHandle } from './handle.ts';
import type { AddOptions } from './options/task.ts';
import type { Task } from './task.ts';

/** Adds tasks. What `TaskList.with` and `background.with` return. */
export interface TaskAdder {
  /**
   * Adds a task, to be run with these arguments.
   *
   * In a response's list it starts when the response has ended; outside a response it starts at once. The arguments of a
   * blocking or a durable task are copied now: what is changed later does not reach it.
   *
   * @param task a function, which runs on the event loop; a task made by `defineTask`; an export of `blocking(…)`, which
   * runs in a thread or a process; one of `durable(…)`, which the engine keeps.
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_FULL` at `maxBacklog` and `ERR_BACKGROUND_CLOSED` after `close()`, both
   * answered by Express with 503; `ERR_BACKGROUND_TASK` for what is no task; `ERR_BACKGROUND_NOT_CLONEABLE` for an
   * argument that cannot cross to a thread or process, `ERR_BACKGROUND_NOT_JSON` and `ERR_BACKGROUND_TOO_LARGE` for one
   * that an engine cannot keep; `ERR_BACKGROUND_HOOK` where the option `context` throws; `ERR_BACKGROUND_OPTION` for an
   * option of `with` that the task cannot have.
   * @example
   * res.locals.backgroundTasks.add(sendEmail, 'ada@example.com', 'Welcome');
   */
  add<Args extends unknown[], Value>(task: Task<Args, Value>, ...args: Args): TaskHandle<Awaited<Value>>;
}

/**
 * The tasks of one response. Iterate over it for their handles, which it keeps until the response itself is forgotten: code
 * that lives on and adds without end adds with `background.add`.
 */
export interface TaskList extends TaskAdder, Iterable<TaskHandle> {
  /** How many tasks were added to it, those that have settled included. */
  readonly size: number;
  /**
   * Options for the tasks added through what it returns; they win over the task's own and the middleware's.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for an option that is unknown or of the wrong type.
   * @example
   * res.locals.backgroundTasks.with({ when: 'success', retry: { attempts: 3 } }).add(sendInvoice, order.id);
   */
  with(options: AddOptions): TaskAdder;
}

declare global {
  namespace Express {
    interface Locals {
      /** The tasks of this response, put here by `app.use(backgroundTasks())`. */
      backgroundTasks: TaskList;
    }
  }
}
