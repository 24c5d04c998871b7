/** Errors that belong to no call: of each kind one is told, not one for every time that something was tried. */

import type { EngineHost } from '../../durable/engine.ts';
import { codeOf } from '../../errors.ts';
import { SECOND } from '../../timers.ts';
import { toError } from '../../to-error.ts';

const REPEAT_AFTER = 60 * SECOND;
const WARNING_AFTER = 3_600 * SECOND;
/** Of SQLSTATE: connections that fail, shutdown and start of the server, what another transaction had to do with. */
const PASSING = /^(?:08|40|53|55|57)/;
const OF_CONNECTION = /^(?:08|57P)/;
const SQLSTATE = /^[0-9A-Z]{5}$/;
const LOST = /terminated|timeout|connection|ECONN/i;

export class Troubles {
  readonly #host: EngineHost;
  readonly #told = new Map<string, number>();
  #isSilent = false;
  #isDown = false;

  constructor(host: EngineHost) {
    this.#host = host;
  }

  /** What comes from here on is of our own making. */
  silence(): void {
    this.#isSilent = true;
  }

  /** Postgres has answered: the next error of a connection is news. */
  over(): void {
    this.#isDown = false;
  }

  tell(thrown: unknown): void {
    const error = toError(thrown);
    if (this.#isSilent) return;
    if (isOfConnection(error)) {
      if (this.#isDown) return;
      this.#isDown = true;
    }
    if (this.#isNews(error.message, REPEAT_AFTER)) this.#host.error(error);
  }

  warn({ message, type }: { readonly message: string; readonly type: unknown }): void {
    if (!this.#isSilent && this.#isNews(`warning ${String(type)}`, WARNING_AFTER)) this.#host.warn(message);
  }

  #isNews(what: string, period: number): boolean {
    const now = performance.now();
    for (const [known, until] of this.#told) if (until <= now) this.#told.delete(known);
    if (this.#told.has(what)) return false;
    this.#told.set(what, now + period);
    return true;
  }
}

function isOfConnection(error: Error): boolean {
  const code = codeOf(error);
  return typeof code === 'string' && SQLSTATE.test(code) ? OF_CONNECTION.test(code) : LOST.test(error.message);
}

/** Whether the same statement may succeed later: unlike one that Postgres refuses for what is in it. */
export function isPassing(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return typeof code !== 'string' || !SQLSTATE.test(code) || PASSING.test(code);
}
