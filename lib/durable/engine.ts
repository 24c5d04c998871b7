/** The interface between the package and whatever keeps durable tasks: a queue in Redis, a table in Postgres. */

/** A task as it is kept by an engine. All of it is JSON. */
export interface TaskEnvelope {
  readonly v: 1;
  /** A UUID, made by whoever adds the task: the key for idempotence. Ids of one process sort in the order added. */
  readonly id: string;
  /** The registered name, such as `mail.sendInvoice`. Never a path. */
  readonly task: string;
  readonly args: readonly unknown[];
  /** What the option `context` made of the request. */
  readonly context?: unknown;
  /** How long one attempt may run, in milliseconds; without it, as long as it takes. */
  readonly timeout?: number;
}

/** When a failed task is tried again. An engine whose own means are coarser comes as near as it can. */
export interface EngineRetry {
  /** How often the task is started altogether. */
  readonly attempts: number;
  /** Milliseconds before the second attempt. */
  readonly delay: number;
  /** By how much each wait is longer than the one before. */
  readonly factor: number;
  /** The longest wait, in milliseconds. */
  readonly maxDelay: number;
  /** The part of each wait that is left to chance, from `0` to `1`. */
  readonly jitter: number;
}

/** A task to be staged. */
export interface StagedTask {
  readonly envelope: TaskEnvelope;
  /** So many milliseconds nobody may run it, unless it is released before. `0`: it may run at once. */
  readonly holdMs: number;
  /** From `-100` to `100`; the highest goes first. */
  readonly priority: number;
  readonly retry: EngineRetry;
}

export interface StageOptions {
  /** The user's own client, in whose transaction the tasks are staged. Only where {@link EngineFeatures.transactions} says so. */
  readonly transaction?: unknown;
}

/** What an engine can do beyond keeping tasks. */
export interface EngineFeatures {
  /** Whether tasks can be staged in a transaction of the user's. */
  readonly transactions: boolean;
}

/** `released`: it was still held. `already`: its hold was over, or it is not there. */
export type ReleaseResult = 'released' | 'already';

/** `discarded`: it will not run. `too-late`: it may have run, or may be running. */
export type DiscardResult = 'discarded' | 'too-late';

/** What came of one attempt at a task. */
export type WorkResult =
  /** `value` is JSON, or `undefined`. */
  | { readonly kind: 'completed'; readonly value: unknown }
  /** `retry: false`: another attempt can't go better. Otherwise the task's {@link EngineRetry} decides. */
  | { readonly kind: 'failed'; readonly error: Error; readonly retry: boolean }
  /** It was not tried. It waits for `delayMs`, and then for whoever takes it; no attempt is counted. */
  | { readonly kind: 'postponed'; readonly delayMs: number };

export interface WorkContext {
  /** Which attempt this is, from `1`. */
  readonly attempt: number;
  /** How long the engine waits before another attempt if this one fails, in milliseconds. `undefined`: none follows. */
  readonly retryInMs: number | undefined;
  /** When the task was staged, in milliseconds since 1970 by the engine's clock where it has one. */
  readonly stagedAt: number;
  /** Aborts when the engine has given the task to somebody else, as far as it can tell. */
  readonly signal: AbortSignal;
}

/** Never rejects. */
export type WorkFunction = (envelope: TaskEnvelope, context: WorkContext) => Promise<WorkResult>;

export interface EngineWorkOptions {
  /** How many tasks the worker may run at once. */
  readonly concurrency: number;
}

/** A worker that fetches tasks. */
export interface EngineWorker {
  /** Fetches no more, and resolves when what was fetched has ended. */
  stop(): Promise<void>;
}

/** Where a durable task is. */
export type DurableState = 'held' | 'waiting' | 'running' | 'retrying' | 'completed' | 'failed';

/** A durable task, as its engine knows it. */
export interface DurableTask {
  readonly id: string;
  readonly name: string;
  /** `held`: until its response ends. `retrying`: between two attempts. */
  readonly state: DurableState;
  /** How often it was started. */
  readonly attempts: number;
  /** What it returned, where that is kept. */
  readonly value?: unknown;
  /** What its last attempt failed with. */
  readonly error?: { readonly name: string; readonly message: string; readonly code?: string; readonly stack?: string };
}

/** How many tasks an engine holds, by state. */
export interface EngineStats {
  readonly held: number;
  readonly waiting: number;
  readonly running: number;
  readonly failed: number;
}

/** What an engine tells that belongs to no call. */
export interface EngineHost {
  /** Something that an operator should change, such as an eviction policy. */
  warn(message: string): void;
  /** An error outside of any call: a connection that was lost. */
  error(error: Error): void;
}

/**
 * Keeps durable tasks. `bullmq()` and `pgBoss()` make one; so can you: every method is tried by the suite in
 * `express-background-tasks/testing/engine`.
 *
 * Calls are bounded in time by whoever makes them: a method may be slow, and must reject sooner or later.
 */
export interface TaskEngine {
  /** For messages, such as `bullmq`. */
  readonly name: string;
  readonly features: EngineFeatures;
  /** Connects, checks what it is connected to, and makes what it needs there. Called again if it rejects. */
  start(host: EngineHost): Promise<void>;
  /**
   * Resolves when all of these tasks are kept durably, or none. The same id twice is one task: the later call changes
   * nothing. A task that is not released runs when its hold is over.
   *
   * `ERR_BACKGROUND_OPTION` says that none is kept. After any other rejection they may be kept all the same: what was held
   * is discarded then.
   */
  stage(tasks: readonly StagedTask[], options: StageOptions): Promise<void>;
  /** Ends holds, in one round trip where the engine can: the tasks may run, in this order. Idempotent. */
  release(ids: readonly string[]): Promise<readonly ReleaseResult[]>;
  /** Removes tasks that are still held, and no others. Idempotent. */
  discard(ids: readonly string[]): Promise<readonly DiscardResult[]>;
  /** Begins to fetch tasks, and calls `run` for each. What dies in the middle of a call is run again. */
  work(run: WorkFunction, options: EngineWorkOptions): Promise<EngineWorker>;
  /** `undefined` for what is not there, or not any more. */
  find(id: string): Promise<DurableTask | undefined>;
  stats(): Promise<EngineStats>;
  /** Lets go of what it has made. A client that the user gave stays open. */
  close(): Promise<void>;
}
