/** The options as a user writes them. */
import type { ServerResponse } from 'node:http';
import type { TaskEngine } from './durable/engine.ts';
import type { Logger } from './log.ts';
import type { Outcome, ResponseEnd } from './outcome.ts';

/** How the tasks of one response follow each other. */
export type Order = 'sequential' | 'parallel';

/** After which ends of a response a task runs. */
export type When =
  | 'always'
  | 'success'
  | 'failure'
  | ((end: ResponseEnd & { readonly res: ServerResponse }) => boolean);

/** How the tasks are treated: `run` is the real thing, the others are for tests. */
export type Mode = 'run' | 'inline' | 'record';

/** When a failed task is tried again, and after how long. Each field that is left out comes from the next level. */
export interface RetryOptions {
  /**
   * How often the task is started altogether, the first time included. At least `1`.
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
   * The part of each wait that is left to chance, from `0` (none) to `1` (all of it), so that tasks which failed
   * together do not come back together. It only ever shortens a wait.
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
   * After which ends of the response the task runs: `always`; `success`, fully sent with a status below 400;
   * `failure`, anything else; or a function that is asked when the response has ended. A task that is not run settles
   * as `skipped`. A task without a response runs always.
   *
   * @default 'always'
   */
  readonly when?: When | undefined;
  /**
   * How long one attempt may run before it is ended, or on the event loop given up, as `timed-out`.
   *
   * In milliseconds; `Infinity` for no limit. The clock starts when the attempt starts, not when the task is added;
   * the time in which a thread loads the task's module counts. First `currentTask().signal` aborts; a thread that does
   * not heed it within 250 ms is ended and replaced. Code on the event loop that ignores its signal runs on: nothing
   * can end it. An attempt that timed out is followed by another where `retry` says so.
   *
   * @default 30_000
   */
  readonly timeout?: number | undefined;
  /** When a failed attempt is followed by another. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Which of the tasks that wait for a thread goes first: the highest number. Equals go in the order added.
   * An integer from `-100` to `100`. Tasks on the event loop don't wait, so it says nothing to them.
   *
   * @default 0
   */
  readonly priority?: number | undefined;
}

/** What `with` takes beside. */
export interface AddOptions extends TaskOptions {
  /**
   * For a durable task on an engine that can: the client of your own transaction, in which the task is staged. The task
   * exists if and only if the transaction commits.
   *
   * @example
   * res.locals.backgroundTasks.with({ transaction: client }).add(mail.sendInvoice, order.id);
   */
  readonly transaction?: unknown;
}

/** What `blocking` takes beside. */
export interface BlockingTaskOptions extends TaskOptions {
  /**
   * Where the module's functions run: in a worker thread, or in a child process. A process costs more, and what takes
   * it down takes down nothing else: native code that crashes, code that leaks, code that calls `process.chdir`.
   *
   * @default 'thread'
   */
  readonly executor?: 'thread' | 'process' | undefined;
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
   * What a worker makes of the arguments before it runs the function: whoever can write to the broker has chosen them.
   * If it throws, the task fails with `ERR_BACKGROUND_ARGUMENTS`, and is not tried again.
   *
   * @example
   * parse: { sendInvoice: (args) => z.tuple([z.number().int()]).parse(args) }
   */
  readonly parse?: ArgumentParsers<Module> | undefined;
}

/** How durable tasks are handed to the engine. */
export interface DurableOptions {
  /**
   * How long the engine holds a task that is neither released nor discarded, in milliseconds. The clock starts at `add`. It
   * bounds how late a task runs whose web process has died; a response that takes longer does not keep its tasks back.
   * At least twice `acceptTimeout`.
   *
   * @default 60_000
   */
  readonly hold?: number | undefined;
  /**
   * How long the engine may take to accept a task, in milliseconds. After that `handle.accepted` rejects with
   * `ERR_BACKGROUND_ENGINE`, which Express answers with 503. The clock starts at `add`.
   *
   * @default 5_000
   */
  readonly acceptTimeout?: number | undefined;
  /**
   * The most bytes that a task's arguments may take as JSON.
   *
   * @default 262_144
   */
  readonly maxArgumentsSize?: number | undefined;
}

/** How this process runs durable tasks. */
export interface WorkOptions {
  /**
   * How many durable tasks may be under way here at once.
   *
   * @default `pool.maxThreads`
   */
  readonly concurrency?: number | undefined;
  /**
   * How long a task whose name is not registered here is put back for others, as after half a deploy, in milliseconds.
   * Then it is kept as failed. The clock starts at `add`.
   *
   * @default 86_400_000 (a day)
   */
  readonly unknownFor?: number | undefined;
}

/** Limits of one thread, as in `node:worker_threads`. In megabytes. They do not count Buffers. */
export interface ResourceLimits {
  /** Of the heap where objects live that have outlasted a few collections. The one to set. */
  readonly maxOldGenerationSizeMb?: number | undefined;
  /** Of the heap for new objects. */
  readonly maxYoungGenerationSizeMb?: number | undefined;
  /** Of the memory for generated code. */
  readonly codeRangeSizeMb?: number | undefined;
  /** Of the stack. */
  readonly stackSizeMb?: number | undefined;
}

/** The worker threads. The names are Piscina's. */
export interface PoolOptions {
  /**
   * How many threads are kept when there is nothing to do. Above `0` they are started at once; otherwise the first
   * blocking task starts the first thread.
   *
   * @default 0
   */
  readonly minThreads?: number | undefined;
  /**
   * How many threads there may be.
   *
   * @default one less than the machine has cores, so that the event loop keeps one; at least 1, and `minThreads`
   */
  readonly maxThreads?: number | undefined;
  /**
   * How long a thread above `minThreads` may be idle before it is ended, in milliseconds; `Infinity`: never.
   *
   * @default 30_000
   */
  readonly idleTimeout?: number | undefined;
  /**
   * Whether several waiting tasks may be sent to one thread in a single message, when more tasks wait than threads are
   * free. Only tasks whose earlier runs were short go together, up to about a millisecond of expected work. Each keeps
   * its own timeout, signal and outcome.
   *
   * @default true
   */
  readonly batch?: boolean | undefined;
  /**
   * The most bytes that a task's result may take, roughly; `Infinity`: any number. A result is made anew in the server's
   * memory, by its event loop. A larger one stays where it is, the task is `completed`, its value is `undefined`, and one
   * warning says so.
   *
   * @default 67_108_864
   */
  readonly maxResultSize?: number | undefined;
  /** Memory limits of each thread. A task that exceeds them fails with `ERR_BACKGROUND_OUT_OF_MEMORY`. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /**
   * By how much the threads' priority is below the event loop's: an integer from `0`, the same, to `19`. Needs the optional package
   * `@napi-rs/nice`; without it, and on systems that know no such thing, threads run at normal priority.
   *
   * @default 10
   */
  readonly niceIncrement?: number | undefined;
  /**
   * Node options for the threads. Those of the process that say how modules are loaded (`--import`, `--require`,
   * `--conditions`, …) stay in force.
   *
   * @example
   * execArgv: ['--import', new URL('./register.js', import.meta.url).href] // a loader for task modules
   */
  readonly execArgv?: readonly string[] | undefined;
  /**
   * The environment of the threads, in the place of `process.env`.
   *
   * @default a copy of process.env
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Appended to `process.argv` in the threads. */
  readonly argv?: readonly string[] | undefined;
}

/** The child processes, for tasks with `executor: 'process'`. */
export interface ProcessOptions {
  /**
   * How many processes are kept when there is nothing to do. Above `0` they are started at once; otherwise the first
   * task starts the first process.
   *
   * @default 0
   */
  readonly minProcesses?: number | undefined;
  /**
   * How many processes there may be.
   *
   * @default one less than the machine has cores, at least 1
   */
  readonly maxProcesses?: number | undefined;
  /** As in {@link PoolOptions.idleTimeout}. */
  readonly idleTimeout?: number | undefined;
  /** As in {@link PoolOptions.maxResultSize}. */
  readonly maxResultSize?: number | undefined;
  /** Memory limits of each process, in megabytes. A process that exceeds them aborts, and its task fails with `ERR_BACKGROUND_PROCESS_EXITED`. */
  readonly resourceLimits?: Pick<ResourceLimits, 'maxOldGenerationSizeMb' | 'maxYoungGenerationSizeMb'> | undefined;
  /**
   * By how much the processes' priority is below the server's: an integer from `0`, the same, to `19`.
   *
   * @default 10
   */
  readonly niceIncrement?: number | undefined;
  /** As in {@link PoolOptions.execArgv}. */
  readonly execArgv?: readonly string[] | undefined;
  /**
   * The environment of the processes.
   *
   * @default that of the server
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Appended to `process.argv` in the processes. */
  readonly argv?: readonly string[] | undefined;
}

/** How the event loop is watched. */
export interface WatchdogOptions {
  /**
   * From how long on a block is logged, in milliseconds; at least `20`. The clock starts when the event loop stops turning; time in
   * which the machine kept the server from running does not count.
   *
   * @default 50
   */
  readonly threshold?: number | undefined;
  /**
   * Whether the code that blocks is named, by its function, file and line. For this the server is stopped for a few
   * milliseconds in the middle of a block, by Node's inspector, which is opened to nobody for it.
   *
   * @default true
   */
  readonly stacks?: boolean | undefined;
}

/** The options of `backgroundTasks`. */
export interface BackgroundTasksOptions {
  /**
   * The worker threads.
   *
   * @example
   * pool: { maxThreads: 4, resourceLimits: { maxOldGenerationSizeMb: 512 } }
   */
  readonly pool?: PoolOptions | undefined;
  /**
   * The child processes.
   *
   * @example
   * processes: { maxProcesses: 2, env: { ...process.env, OMP_NUM_THREADS: '1' } }
   */
  readonly processes?: ProcessOptions | undefined;
  /**
   * Whether the tasks of one response run one after the other, or all at once. In sequence, a task begins when the
   * one before has settled: after its retries, and the waits between them.
   *
   * @default 'sequential'
   */
  readonly order?: Order | undefined;
  /** As in {@link TaskOptions.when}, for every task that does not say otherwise. */
  readonly when?: When | undefined;
  /** As in {@link TaskOptions.timeout}, for every task that does not say otherwise. */
  readonly timeout?: number | undefined;
  /**
   * As in {@link TaskOptions.retry}, for every task that does not say otherwise.
   *
   * @example
   * retry: { attempts: 3, delay: 500 }
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * How many tasks may be accepted and not yet settled, at least `1`. At the limit `add` throws `ERR_BACKGROUND_FULL`, which
   * Express answers with 503.
   *
   * @default 10_000
   */
  readonly maxBacklog?: number | undefined;
  /**
   * How many outcomes are kept for `find(id)`, the values that tasks returned among them: from `0`, none, to a million.
   *
   * @default 1_000
   */
  readonly history?: number | undefined;
  /**
   * Where failures are told: anything with `error`, `warn`, `info` and `debug`; `false` for nothing.
   *
   * @default a winston logger that writes to the console
   */
  readonly logger?: Logger | false | undefined;
  /**
   * Whether log lines carry the arguments of the task. Arguments may be personal data.
   *
   * @default false
   */
  readonly logArguments?: boolean | undefined;
  /**
   * Called once for each task that failed, timed out or was abandoned. What it throws is logged.
   *
   * @example
   * onError: (error, { name, id }) => errorTracker.capture(error, { tags: { task: name }, extra: { id } })
   */
  readonly onError?: ((error: Error, outcome: Outcome) => void) | undefined;
  /**
   * Whether `addBackgroundTask()` works in code that was not handed the response. Each request then carries an async
   * context more.
   *
   * @default false
   * @example
   * ambient: true // and in a service: addBackgroundTask(sendEmail, user.email);
   */
  readonly ambient?: boolean | undefined;
  /**
   * Plain values of the request that its tasks can read as `currentTask().context`, in threads as well. Called at each
   * `add`. A task that a task adds with `background.add` has the context of that task.
   *
   * @example
   * context: (req) => ({ requestId: req.headers['x-request-id'] })
   */
  // biome-ignore lint/suspicious/noExplicitAny: users annotate the request type of their own framework.
  readonly context?: ((req: any) => unknown) | undefined;
  /**
   * Whether a task, a handler or other code that blocks the event loop is logged, and how. `true`: from 50 ms on.
   *
   * @default { threshold: 100 }; `false` where `NODE_ENV` is `production` or `test`
   * @example
   * watchdog: { threshold: 50, stacks: true }
   */
  readonly watchdog?: WatchdogOptions | boolean | undefined;
  /**
   * What keeps durable tasks: `bullmq(…)` of `express-background-tasks/bullmq`, `pgBoss(…)` of
   * `express-background-tasks/pg-boss`, or one of your own. Without it they run in this process.
   *
   * @example
   * engine: bullmq({ connection: process.env.REDIS_URL })
   */
  readonly engine?: TaskEngine | undefined;
  /**
   * How durable tasks are handed to the engine.
   *
   * @example
   * durable: { hold: 30_000, acceptTimeout: 2_000 }
   */
  readonly durable?: DurableOptions | undefined;
  /**
   * Whether this process runs durable tasks as well, its own and those of others. `true`: as many at once as there are threads.
   *
   * @default false
   * @example
   * work: { concurrency: 2 }
   */
  readonly work?: WorkOptions | boolean | undefined;
  /**
   * `run`: the real thing. `inline`: blocking tasks run in this thread, on clones of their arguments. `record`: tasks
   * are kept and settle as `skipped`. The last two are for tests.
   *
   * @default 'run'
   */
  readonly mode?: Mode | undefined;
}
