/** The interface between the package and whatever keeps durable tasks: a queue in Redis, a table in Postgres. All of it is public. */

/** A task as it is kept by an engine. All of it is JSON. */
export interface TaskEnvelope {
  /** The version of this format. A worker treats a task of another version as one whose name it does not know. */
  readonly v: 1;
  /** A UUID, made by whoever adds the task: the key for idempotence. Ids of one process sort in the order added. */
  readonly id: string;
  /** The registered name, such as `mail.sendInvoice`. Never a path. */
  readonly task: string;
  /** What the function is called with, unless the option `parse` makes something else of it. */
  readonly args: readonly unknown[];
  /** What the option `context` made of the request. */
  readonly context?: unknown;
  /** How long one attempt may run, in milliseconds; without it, as long as it takes. */
  readonly timeout?: number;
}

/** When a failed task is tried again. An engine that cannot do exactly this comes as near as it can. */
export interface EngineRetry {
  /** How many attempts there are, the first included. */
  readonly attempts: number;
  /** Milliseconds before the second attempt. */
  readonly delay: number;
  /** Each wait is longer than the one before by this factor. */
  readonly factor: number;
  /** The longest wait, in milliseconds. */
  readonly maxDelay: number;
  /** The part of each wait that is left to chance, from `0` to `1`. */
  readonly jitter: number;
}

/** A task to be staged. */
export interface StagedTask {
  /** What a worker is given, as it is. */
  readonly envelope: TaskEnvelope;
  /** For how many milliseconds the task may not run, unless it is released before. `0`: it may run at once. */
  readonly holdMs: number;
  /** From `-100` to `100`; the highest goes first. */
  readonly priority: number;
  /** What follows an attempt that has failed. */
  readonly retry: EngineRetry;
}

/** How tasks are staged. */
export interface StageOptions {
  /** The user's own client, in whose transaction the tasks are staged. Only for an engine with {@link EngineFeatures.transactions}. */
  readonly transaction?: unknown;
}

/** What an engine can do beyond keeping tasks. */
export interface EngineFeatures {
  /** Whether tasks can be staged in a transaction of the user's own client. */
  readonly transactions: boolean;
}

/** `released`: the task was still held. `already`: its hold was over, or the engine does not have it. */
export type ReleaseResult = 'released' | 'already';

/** `discarded`: the task will not run. `too-late`: it is not held any more, and may have run; or the engine does not have it. */
export type DiscardResult = 'discarded' | 'too-late';

/** What came of one attempt at a task. */
export type WorkResult =
  /** `value` is JSON, or `undefined`. */
  | { readonly kind: 'completed'; readonly value: unknown }
  /** `retry: false`: another attempt can't go better. Otherwise the task's {@link EngineRetry} decides. */
  | { readonly kind: 'failed'; readonly error: Error; readonly retry: boolean }
  /** The task was not tried, and no attempt is counted. After `delayMs` any worker may take it. */
  | { readonly kind: 'postponed'; readonly delayMs: number };

/** What is known of one attempt at a task. */
export interface WorkContext {
  /** Which attempt this is, from `1`. */
  readonly attempt: number;
  /** How long the engine waits before the next attempt if this one fails, in milliseconds. `undefined`: this is the last. */
  readonly retryInMs: number | undefined;
  /** When the task was staged, in milliseconds since 1970: by the engine's clock, if it has one. */
  readonly stagedAt: number;
  /** Aborts when the engine learns that it has given the task to another worker. */
  readonly signal: AbortSignal;
}

/** Makes one attempt at a task. Never rejects. */
export type WorkFunction = (envelope: TaskEnvelope, context: WorkContext) => Promise<WorkResult>;

/** How a worker fetches tasks. */
export interface EngineWorkOptions {
  /** How many tasks the worker may run at once. */
  readonly concurrency: number;
}

/** A worker that fetches tasks. */
export interface EngineWorker {
  /** Fetches no more tasks. Resolves when those that were fetched have ended. */
  stop(): Promise<void>;
}

/** Where a durable task is. */
export type DurableState = 'held' | 'waiting' | 'running' | 'retrying' | 'completed' | 'failed';

/** A durable task, as its engine knows it. */
export interface DurableTask {
  /** The task's {@link TaskEnvelope.id}. */
  readonly id: string;
  /** The registered name, such as `mail.sendInvoice`. */
  readonly name: string;
  /** `held`: until its response ends. `retrying`: between two attempts. */
  readonly state: DurableState;
  /** How many attempts were started. */
  readonly attempts: number;
  /** What a completed task returned, if the engine has kept it. */
  readonly value?: unknown;
  /** The error of the last failed attempt, unless the task has completed since. A `code` that was a number is a string. */
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string; readonly stack?: string };
}

/** How many tasks an engine holds, by state. */
export interface EngineStats {
  /** May not run yet. An engine may count those between two attempts here as well. */
  readonly held: number;
  /** May run, and wait for a worker. */
  readonly waiting: number;
  /** Are in an attempt. */
  readonly running: number;
  /** Have failed for good, and are still kept. */
  readonly failed: number;
}

/** Hears what an engine has to tell outside of any call. */
export interface EngineHost {
  /** Something that an operator should change, such as an eviction policy. */
  warn(message: string): void;
  /** Such as a connection that was lost. */
  error(error: Error): void;
}

/**
 * Keeps durable tasks. `bullmq()` and `pgBoss()` make one; so can you: every method is tried by the suite in
 * `express-background-tasks/testing/engine`.
 *
 * The package bounds each call in time: a method may be slow, but must settle sooner or later.
 */
export interface TaskEngine {
  /** The engine's name in messages, such as `bullmq`. */
  readonly name: string;
  /** What it can do. */
  readonly features: EngineFeatures;
  /** Connects, checks the server, and makes there what the engine needs. Called again if it rejects. */
  start(host: EngineHost): Promise<void>;
  /**
   * Resolves when all of these tasks are kept durably. The same id twice is one task: the later call changes nothing. A
   * task that is not released runs when its hold is over.
   *
   * A rejection with `ERR_BACKGROUND_OPTION` says that none is kept. After any other some or all of them may be kept, and
   * those that are to be held are discarded.
   */
  stage(tasks: readonly StagedTask[], options: StageOptions): Promise<void>;
  /** Ends holds, in one round trip where the engine can: the tasks may run, in this order. Idempotent. */
  release(ids: readonly string[]): Promise<readonly ReleaseResult[]>;
  /** Removes tasks that are still held, and no others. Idempotent. */
  discard(ids: readonly string[]): Promise<readonly DiscardResult[]>;
  /** Begins to fetch tasks, and calls `run` for each. A task whose worker dies in the middle of that is run again. */
  work(run: WorkFunction, options: EngineWorkOptions): Promise<EngineWorker>;
  /** `undefined` for an id that the engine does not know, or not any more. */
  find(id: string): Promise<DurableTask | undefined>;
  /** Counts what it keeps, the tasks of all processes. */
  stats(): Promise<EngineStats>;
  /** Closes every connection that the engine has made. A client that the user gave stays open. */
  close(): Promise<void>;
}
