/** The clock of Redis, by which tasks are staged. Workers use their own clock to tell whether a hold is over. */
import type { EngineHost } from '../../durable/engine.ts';
import { SECOND } from '../../time/timers.ts';
import type { EngineClient } from './client.ts';

const READ_EVERY = 60 * SECOND;
/** How much the clock of a worker may differ before holds end noticeably early or late. */
const TOLERANCE = 5 * SECOND;

export class RedisClock {
  readonly #client: EngineClient;
  readonly #host: EngineHost;
  /** By how many milliseconds the clock of Redis is ahead. */
  #offset = 0;
  /** The same of a clock that nobody sets. It stands still while the machine sleeps. */
  #offsetOfSteady = 0;
  #timer: NodeJS.Timeout | undefined;
  #isToWarn = false;
  #hasWarned = false;

  constructor(client: EngineClient, host: EngineHost) {
    this.#client = client;
    this.#host = host;
  }

  now(): number {
    // They differ where the clock here was set since the last look, or the machine slept. Set back, or after a sleep, it is
    // the earlier that is wrong, and would end holds too early; set forward, it is the later: holds are longer by that much.
    return Math.max(Date.now() + this.#offset, Math.round(performance.now() + this.#offsetOfSteady));
  }

  async read(): Promise<void> {
    const [before, steadyBefore] = [Date.now(), performance.now()];
    const [seconds, microseconds] = (await this.#client.time()) as unknown as [string, string];
    const [after, steadyAfter] = [Date.now(), performance.now()];
    const theirs = Number(seconds) * SECOND + Math.floor(Number(microseconds) / 1_000);
    this.#offset = Math.round(theirs - (before + after) / 2);
    this.#offsetOfSteady = theirs - (steadyBefore + steadyAfter) / 2;
    this.#warnIfDifferent();
  }

  /** Reads the clock now and then, until {@link stop}. Errors of the connection are told elsewhere. */
  start(): void {
    this.#timer = setInterval(() => void this.read().catch(() => {}), READ_EVERY).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#isToWarn = false;
  }

  /** For a worker, which relies on both clocks: warns, once, if they differ now or at a later {@link read}. */
  warnOfDifference(): void {
    this.#isToWarn = true;
    this.#warnIfDifferent();
  }

  #warnIfDifferent(): void {
    if (this.#hasWarned || !this.#isToWarn || Math.abs(this.#offset) <= TOLERANCE) return;
    this.#hasWarned = true;
    const seconds = (Math.abs(this.#offset) / SECOND).toFixed(1);
    const [direction, effect] = this.#offset > 0 ? ['behind', 'late'] : ['ahead of', 'early'];
    this.#host.warn(
      `The clock of this worker is ${seconds} s ${direction} that of Redis: retries, and tasks that run because their hold is over, start that much too ${effect}.`,
    );
  }
}
