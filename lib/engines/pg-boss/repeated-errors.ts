/** Tells errors that belong to no call. What failed is tried again and again: an error that repeats is told once. */

import type { EngineHost } from '../../durable/engine.ts';
import { RecentlyTold } from '../../durable/recently-told.ts';
import { SECOND } from '../../time/timers.ts';
import { toError } from '../../to-error.ts';
import { hasNoConnection } from './lost-connection.ts';
import { sqlStateOf } from './sql-state.ts';

const WARNING_AFTER = 3_600 * SECOND;
/** Classes of SQLSTATE: data that Postgres can't hold, conditions on rows, limits of the server. */
const OF_CONTENT = /^(?:22|23|54)/;

export class RepeatedErrors {
  readonly #host: EngineHost;
  readonly #errors = new RecentlyTold();
  readonly #warnings = new RecentlyTold();
  /** Those that came while the engine started. A start that fails says why by itself. */
  readonly #early: unknown[] = [];
  #hasStarted = false;
  #isMuted = false;
  #isDown = false;

  constructor(host: EngineHost) {
    this.#host = host;
  }

  /** The engine has started, whatever went wrong meanwhile. */
  started(): void {
    this.#hasStarted = true;
    for (const thrown of this.#early.splice(0)) this.tell(thrown);
    this.answered();
  }

  /** From here on errors come from the engine's own closing, and are not reported. */
  mute(): void {
    this.#isMuted = true;
  }

  /** Postgres has answered: the next error of a connection is news. */
  answered(): void {
    this.#isDown = false;
  }

  tell(thrown: unknown): void {
    if (this.#isMuted) return;
    if (!this.#hasStarted) {
      this.#early.push(thrown);
      return;
    }
    const error = toError(thrown);
    if (hasNoConnection(error)) {
      if (this.#isDown) return;
      this.#isDown = true;
    }
    if (this.#errors.isNews(error.message)) this.#host.error(error);
  }

  warn({ message, type }: { readonly message: string; readonly type: unknown }): void {
    if (!this.#isMuted && this.#warnings.isNews(String(type), WARNING_AFTER)) this.#host.warn(message);
  }
}

/** Whether the same statement may succeed later. One that Postgres refuses for what is in it never does. */
export function isPassing(thrown: unknown): boolean {
  const state = sqlStateOf(thrown);
  return state === undefined || !OF_CONTENT.test(state);
}
