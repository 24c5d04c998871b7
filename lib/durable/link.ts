/** Starts an engine, again and again until it succeeds, and makes calls to it with a time limit. */
import { Backoff } from '../backoff.ts';
import { deferred } from '../deferred.ts';
import { BackgroundTaskError } from '../errors.ts';
import { SECOND } from '../timers.ts';
import { toError } from '../to-error.ts';
import type { EngineHost, TaskEngine } from './engine.ts';

const FIRST_DELAY = 0.25 * SECOND;
const LONGEST_DELAY = 5 * SECOND;

export class EngineLink {
  readonly engine: TaskEngine;
  readonly #host: EngineHost;
  /** Resolves when the engine has started. Never rejects. */
  readonly started: Promise<void>;
  /** Begins of calls that wait for the start. */
  readonly #waiting = new Set<() => void>();
  /** Each makes a pending call reject. */
  readonly #ends = new Set<(reason: Error) => void>();
  #hasStarted = false;
  #isClosed = false;
  #lastError: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param keepsAlive whether the process must not end while the engine cannot be reached. */
  constructor(engine: TaskEngine, host: EngineHost, keepsAlive: boolean) {
    this.engine = engine;
    this.#host = host;
    this.started = new Promise((resolve) => {
      const backoff = new Backoff(FIRST_DELAY, LONGEST_DELAY);
      const start = async (): Promise<void> => {
        try {
          await engine.start(host);
          this.#lastError = undefined;
          this.#hasStarted = true;
          resolve();
          for (const begin of this.#waiting) begin();
        } catch (thrown) {
          if (this.#isClosed) return;
          this.#failed(toError(thrown));
          this.#timer = setTimeout(() => void start(), backoff.next());
          if (!keepsAlive) this.#timer.unref();
        }
      };
      // Not within the constructor: an engine that fails at once would tell it to an instance that is not made yet.
      queueMicrotask(() => void start());
    });
  }

  /** Tells why the engine can't start: once, and again when the reason changes. */
  #failed(error: Error): void {
    if (error.message !== this.#lastError?.message) this.#host.error(error);
    this.#lastError = error;
  }

  /**
   * Makes a call when the engine has started.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if the call fails, or takes longer than `limit` milliseconds, the
   * wait for the start included.
   */
  call<Result>(what: string, limit: number, call: (engine: TaskEngine) => Promise<Result>): Promise<Result> {
    return this.#told(what, this.begin(limit, call));
  }

  /** The same limit and the same error, for an answer that somebody else has asked for. */
  inTime<Result>(what: string, limit: number, answer: Promise<Result>): Promise<Result> {
    return this.#told(what, this.#within(limit, answer));
  }

  /** Like {@link call}, but rejects with the bare reason, for a caller that puts it into an error of its own. */
  async begin<Result>(limit: number, call: (engine: TaskEngine) => Promise<Result>): Promise<Result> {
    // Not `started.then(…)`: that would keep calls that were given up, and make them when the engine starts at last.
    const { promise: mayBegin, resolve: begin } = deferred();
    if (this.#hasStarted) begin();
    else this.#waiting.add(begin);
    try {
      return await this.#within(
        limit,
        mayBegin.then(() => call(this.engine)),
      );
    } finally {
      this.#waiting.delete(begin);
    }
  }

  async #told<Result>(what: string, answer: Promise<Result>): Promise<Result> {
    try {
      return await answer;
    } catch (thrown) {
      const { name } = this.engine;
      const cause = toError(thrown);
      const because = this.#lastError === undefined ? cause.message : `${cause.message}; ${this.#lastError.message}`;
      throw new BackgroundTaskError('ERR_BACKGROUND_ENGINE', `Expected ${name} to ${what}: ${because}`, { cause });
    }
  }

  async #within<Result>(limit: number, answer: Promise<Result>): Promise<Result> {
    let end: ((reason: Error) => void) | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Result>((resolve, reject) => {
        end = reject;
        this.#ends.add(end);
        timer = setTimeout(() => reject(new Error(`no answer within ${Math.round(limit)} ms`)), limit);
        answer.then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      if (end !== undefined) this.#ends.delete(end);
    }
  }

  /** Pending calls reject: whoever closes has given them all the time there was. */
  async close(limit: number): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const end of this.#ends) end(new Error('it was closed'));
    try {
      await this.#within(limit, this.engine.close());
    } catch (thrown) {
      this.#host.error(new Error(`It could not be closed: ${toError(thrown).message}`, { cause: thrown }));
    }
  }
}
