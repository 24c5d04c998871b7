/** `currentTask()`: what a running task can know of itself, and the async context that carries it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Owner } from './owner.ts';
import { processWide } from './process-wide.ts';

/** A running task, as seen from inside. */
export interface CurrentTask<Context = unknown> {
  /** The id of the task's handle. */
  readonly id: string;
  /** The task's name. */
  readonly name: string;
  /** Which attempt this is, from `1`. */
  readonly attempt: number;
  /**
   * Aborts when the attempt should stop: on its time limit, on `cancel`, and when `close` runs out of time. Its
   * `reason` is the error that says which. It never aborts because the client hung up.
   */
  readonly signal: AbortSignal;
  /** What the option `context` made of the request; `undefined` without one. */
  readonly context: Context;
}

/** What every attempt at a task has in common. */
interface TaskSource {
  readonly id: string;
  readonly name: string;
  readonly context: unknown;
  /** Known only where the task was added. */
  readonly isSettled?: boolean;
}

/** One attempt's context. The signal is made when somebody asks for it: most tasks never do. */
export class RunningTask implements CurrentTask {
  readonly attempt: number;
  readonly #source: TaskSource;
  readonly #owner: Owner | undefined;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;

  constructor(source: TaskSource, attempt: number, owner?: Owner) {
    this.#source = source;
    this.attempt = attempt;
    this.#owner = owner;
  }

  get id(): string {
    return this.#source.id;
  }

  get name(): string {
    return this.#source.name;
  }

  get context(): unknown {
    return this.#source.context;
  }

  /** What the task was added to; `undefined` in a thread, and for a task of the package's other copy. */
  static ownerOf(task: RunningTask | undefined): Owner | undefined {
    return task !== undefined && #owner in task ? task.#owner : undefined;
  }

  /** The same, but `undefined` once the task has settled: code that it left running does not act for it. */
  static ownerOfUnsettled(task: RunningTask | undefined): Owner | undefined {
    return task !== undefined && #owner in task && !task.#source.isSettled ? task.#owner : undefined;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Why it is to stop; `undefined` as long as it is not. */
  get abortReason(): Error | undefined {
    return this.#abortReason;
  }

  abort(reason: Error): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(this.#abortReason);
  }
}

/** The async context of tasks. One a process, so that either copy of the package answers in every task. */
export const taskContext: AsyncLocalStorage<RunningTask> = processWide(
  'current-task',
  () => new AsyncLocalStorage<RunningTask>(),
);

/** What the current task was added to. `undefined` outside tasks, and in code that a settled task has left running. */
export function currentOwner(): Owner | undefined {
  return RunningTask.ownerOfUnsettled(taskContext.getStore());
}

/**
 * The task that this code runs in, in any executor; `undefined` outside tasks, so that a function can be both
 * called directly and run as a task.
 *
 * @example
 * export async function importRows(file: string) {
 *   for await (const row of rows(file)) {
 *     currentTask()?.signal.throwIfAborted();
 *     await insert(row);
 *   }
 * }
 */
export function currentTask<Context = unknown>(): CurrentTask<Context> | undefined {
  return taskContext.getStore() as CurrentTask<Context> | undefined;
}
