/** Starts an engine, again and again until it succeeds, and makes calls to it with a time limit. */

import { deferred } from '../deferred.ts';
import { type BackgroundTaskError, codeOf, engineError } from '../errors.ts';
import { messageOf } from '../message-of.ts';
import { Backoff } from '../time/backoff.ts';
import { queueMicrotask } from '../time/real-time.ts';
import { doneWithin, SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import type { EngineHost, TaskEngine } from './engine.ts';
import { noAnswer, TimedCalls } from './timed-calls.ts';

const FIRST_DELAY = 0.25 * SECOND;
const LONGEST_DELAY = 5 * SECOND;

/** Whether an engine has said that it does not take what it was given. After any other error it may have taken it. */
export function isRefusal(thrown: unknown): boolean {
  return codeOf(thrown) === 'ERR_BACKGROUND_OPTION';
}

export class EngineLink {
  readonly engine: TaskEngine;
  readonly #host: EngineHost;
  readonly #keepsAlive: boolean;
  readonly #start = deferred();
  /** Calls that wait for the start: each function begins one. */
  readonly #waiting = new Set<() => void>();
  readonly #calls = new TimedCalls();
  #hasStarted = false;
  #isClosed = false;
  #lastError: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param keepsAlive whether the process must not end while the engine cannot be reached. */
  constructor(engine: TaskEngine, host: EngineHost, keepsAlive: boolean) {
    this.engine = engine;
    this.#host = host;
    this.#keepsAlive = keepsAlive;
    // Not within the constructor: an engine that fails at once would report to an instance that does not exist yet.
    queueMicrotask(() => void this.#begin().catch(() => {}));
  }

  /** Resolves when the engine has started. Never rejects. */
  get started(): Promise<void> {
    return this.#start.promise;
  }

  async #begin(): Promise<void> {
    await this.untilDone(() => this.engine.start(this.#host));
    this.#hasStarted = true;
    this.#start.resolve();
    for (const begin of this.#waiting) begin();
  }

  /** Repeats `attempt`, with growing pauses, until it succeeds. Rejects only where it fails after the link was closed. */
  async untilDone<Result>(attempt: () => Promise<Result>): Promise<Result> {
    const backoff = new Backoff(FIRST_DELAY, LONGEST_DELAY);
    for (;;) {
      try {
        const result = await attempt();
        this.#lastError = undefined;
        return result;
      } catch (thrown) {
        if (this.#isClosed) throw thrown;
        this.#failed(toError(thrown));
        await this.#pause(backoff.next());
      }
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = setTimeout(resolve, milliseconds);
      if (!this.#keepsAlive) this.#timer.unref();
    });
  }

  /** Tells why the engine can't start or fetch tasks: once, and again when the reason changes. */
  #failed(error: Error): void {
    if (error.message !== this.#lastError?.message) this.#host.error(error);
    this.#lastError = error;
  }

  /**
   * Makes a call when the engine has started.
   *
   * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if the call fails, or takes longer than `limit` milliseconds, the
   * wait for the start included; what the engine says where it refuses what it was given.
   */
  call<Result>(what: string, limit: number, call: (engine: TaskEngine) => Promise<Result>): Promise<Result> {
    return this.#explained(what, this.begin(limit, call));
  }

  /** The same limit and the same error, for a call that was made elsewhere. */
  inTime<Result>(what: string, limit: number, answer: Promise<Result>): Promise<Result> {
    return this.#explained(
      what,
      this.#calls.within(limit, () => answer),
    );
  }

  /** Like {@link call}, but rejects with the bare reason, for a caller that puts it into an error of its own. */
  begin<Result>(limit: number, call: (engine: TaskEngine) => Promise<Result>): Promise<Result> {
    if (this.#hasStarted) return this.#calls.within(limit, () => call(this.engine));
    // Not `started.then(…)`: that would keep calls that were given up, and make them when the engine starts at last.
    const { promise: mayBegin, resolve: begin } = deferred();
    this.#waiting.add(begin);
    const answer = this.#calls.within(limit, () => mayBegin.then(() => call(this.engine)));
    return answer.finally(() => this.#waiting.delete(begin));
  }

  #explained<Result>(what: string, answer: Promise<Result>): Promise<Result> {
    return answer.catch((thrown: unknown) => {
      throw isRefusal(thrown) ? thrown : this.#errorOf(what, toError(thrown));
    });
  }

  #errorOf(what: string, cause: Error): BackgroundTaskError {
    const because = [cause, this.#lastError].filter((error) => error !== undefined).map(messageOf);
    return engineError(`Expected ${this.engine.name} to ${what}: ${because.join('; ')}`, { cause });
  }

  /** Pending calls reject: they have had all the time there was. */
  async close(limit: number): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#calls.end();
    try {
      if (!(await doneWithin(limit, this.engine.close()))) throw noAnswer(limit);
    } catch (thrown) {
      this.#host.error(new Error(`It could not be closed: ${messageOf(toError(thrown))}`, { cause: thrown }));
    }
  }
}
