/** What can be said of one task: where it is defined, and where it is added. */
import type { ServerResponse } from 'node:http';
import type { ResponseEnd } from '../outcome.ts';
import { check } from './check.ts';
import {
  aFunction,
  aNumber,
  anInteger,
  anObjectOf,
  aRecordOf,
  aString,
  either,
  forever,
  milliseconds,
  oneOf,
  type Rules,
} from './rules.ts';

/** After which ends of a response a task runs. */
export type When =
  | 'always'
  | 'success'
  | 'failure'
  | ((end: ResponseEnd & { readonly res: ServerResponse }) => boolean);

/** When a failed task is tried again, and after how long. Each field that is left out comes from the next level. */
export interface RetryOptions {
  /**
   * How often the task is started in all, the first time included. At least `1`.
   *
   * @default 1 (no retry)
   */
  readonly attempts?: number | undefined;
  /**
   * The wait before the second attempt, in milliseconds. The clock starts when the attempt has failed.
   *
   * @default 1_000
   */
  readonly delay?: number | undefined;
  /**
   * By how much each wait is longer than the one before. At least `1`.
   *
   * @default 2
   */
  readonly factor?: number | undefined;
  /**
   * The longest wait, in milliseconds.
   *
   * @default 30_000
   */
  readonly maxDelay?: number | undefined;
  /**
   * The part of each wait that is random, from `0` (none) to `1` (all of it), so that tasks that failed together do
   * not all come back together. It only ever shortens a wait.
   *
   * @default 0.5
   */
  readonly jitter?: number | undefined;
  /**
   * Whether this error is worth another attempt. Errors from threads keep their `name`, `code` and own properties.
   * If it throws, that is logged and the task is not tried again.
   *
   * @default () => true
   * @example
   * retryIf: (error) => error.code === 'ETIMEDOUT'
   */
  // biome-ignore lint/suspicious/noExplicitAny: user code reads `error.code`, which Error does not declare.
  readonly retryIf?: ((error: any) => boolean) | undefined;
}

/** What can be said of one task: in `with`, in `blocking` and in `defineTask`. The nearest wins, in that order. */
export interface TaskOptions {
  /**
   * The name in outcomes, events and logs.
   *
   * @default the function's, or the export's
   */
  readonly name?: string | undefined;
  /**
   * How the response must end for the task to run: `always`, in any way; `success`, fully sent with a status below 400;
   * `failure`, in any other way; or a function that is asked when the response has ended. A task that is not run settles
   * as `skipped`. A task without a response always runs.
   *
   * @default 'always'
   */
  readonly when?: When | undefined;
  /**
   * How long one attempt may run before it is ended, or on the event loop given up, as `timed-out`.
   *
   * In milliseconds; `Infinity` for no limit. The clock starts when the attempt starts, not when the task is added;
   * the time in which a thread loads the task's module counts. First `currentTask().signal` aborts; a thread that does
   * not heed it within 250 ms is ended and replaced (within a call of native code none can be: the task settles then, and
   * the thread is replaced when the call has returned). Code on the event loop that ignores its signal runs on: nothing
   * can end it. An attempt that timed out is followed by another where `retry` says so.
   *
   * @default 30_000
   */
  readonly timeout?: number | undefined;
  /** When a failed attempt is followed by another. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Of the tasks that wait for a thread, the one with the highest number goes first; equals go in the order added.
   * An integer from `-100` to `100`. It has no effect on tasks on the event loop, which do not wait.
   *
   * @default 0
   */
  readonly priority?: number | undefined;
}

/** What `blocking` takes beside. */
export interface BlockingTaskOptions extends TaskOptions {
  /**
   * Where the module's functions run: in a worker thread, or in a child process. A process costs more, but harms nothing
   * else if it dies: for native code that crashes, code that leaks, code that calls `process.chdir`.
   *
   * @default 'thread'
   */
  readonly executor?: 'thread' | 'process' | undefined;
}

/** What `with` takes beside. The `executor` is for tasks of `blocking` only: a function of this process runs here. */
export interface AddOptions extends BlockingTaskOptions {
  /**
   * For a durable task on an engine that can: the client of your own transaction, in which the task is staged. The task
   * exists if and only if the transaction commits.
   *
   * @example
   * res.locals.backgroundTasks.with({ transaction: client }).add(mail.sendInvoice, order.id);
   */
  readonly transaction?: unknown;
}

/** A function for the arguments of each export, as they came from an engine. */
export type ArgumentParsers<Module> = {
  readonly [Name in keyof Module]?: Module[Name] extends (...args: infer Args) => unknown
    ? (args: unknown[]) => Args
    : never;
};

/** What can be said of durable tasks: in `durable`. */
export interface DurableTaskOptions<Module = object> extends Omit<TaskOptions, 'name'> {
  /**
   * Where a worker runs the module's functions: in a worker thread, in a child process, or on the worker's event loop,
   * which is the place for functions that only wait for the network.
   *
   * @default 'thread'
   */
  readonly executor?: 'thread' | 'process' | 'event-loop' | undefined;
  /**
   * Checks the arguments in the worker, before the function runs: anybody who can write to the broker can choose them.
   * Returns those to call the function with. If it throws, the task fails with `ERR_BACKGROUND_ARGUMENTS` and is not tried
   * again.
   *
   * @example
   * parse: { sendInvoice: (args) => z.tuple([z.number().int()]).parse(args) }
   */
  readonly parse?: ArgumentParsers<Module> | undefined;
}

const PRIORITY_LIMIT = 100;

const when = either(oneOf('always', 'success', 'failure'), aFunction);

const retryRules: Rules<RetryOptions> = {
  attempts: anInteger({ from: 1 }),
  delay: milliseconds(0),
  factor: aNumber({ from: 1 }),
  maxDelay: milliseconds(0),
  jitter: aNumber({ from: 0, to: 1 }),
  retryIf: aFunction,
};

/** Those that the middleware has as well are taken from here. */
export const taskRules: Rules<TaskOptions> = {
  name: aString,
  when,
  timeout: either(milliseconds(1), forever),
  retry: anObjectOf(retryRules, { retries: 'use `attempts`, which counts the first attempt as well' }),
  priority: anInteger({ from: -PRIORITY_LIMIT, to: PRIORITY_LIMIT }),
};

export const blockingRules: Rules<BlockingTaskOptions> = { ...taskRules, executor: oneOf('thread', 'process') };

export const addRules: Rules<AddOptions> = {
  ...blockingRules,
  transaction: {
    expected: "your database's client",
    accepts: (value) => (typeof value === 'object' || typeof value === 'function') && value !== null,
  },
};

const { name: _, ...nameless } = taskRules;
export const durableTaskRules: Rules<DurableTaskOptions> = {
  ...nameless,
  executor: oneOf('thread', 'process', 'event-loop'),
  parse: aRecordOf('functions', aFunction.accepts),
};

/** Checks what `defineTask` was given, and keeps a copy that nobody can change. */
export function resolveTaskOptions(options: TaskOptions, place: string): TaskOptions {
  return frozenCopy(check(options, taskRules, place));
}

/** The same for `blocking`. */
export function resolveBlockingOptions(options: BlockingTaskOptions): BlockingTaskOptions {
  return frozenCopy(check(options, blockingRules, 'blocking()'));
}

/** The same for `durable`. */
export function resolveDurableOptions<Module>(options: DurableTaskOptions<Module>): DurableTaskOptions<Module> {
  return frozenCopy(check(options as DurableTaskOptions, durableTaskRules, 'durable()')) as DurableTaskOptions<Module>;
}

/** The same for `with`. */
export function resolveAddOptions(options: AddOptions): AddOptions {
  return frozenCopy(check(options, addRules, 'with()'));
}

function frozenCopy<Options extends Pick<TaskOptions, 'retry'>>(options: Options): Options {
  const { retry } = options;
  return Object.freeze({ ...options, ...(retry === undefined ? {} : { retry: Object.freeze({ ...retry }) }) });
}
