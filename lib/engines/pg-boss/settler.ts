/** Writes down what came of attempts: whatever ends while one statement is under way goes together in the next. */
import { setTimeout as delay } from 'node:timers/promises';
import { SECOND } from '../../timers.ts';
import type { Database } from './database.ts';
import { isPassing, type Troubles } from './troubles.ts';

/** An attempt's end, by the names of the statement that settles. */
export interface Settlement {
  readonly id: string;
  readonly retry_count: number;
  readonly started_on: Date;
  readonly kind: 'completed' | 'failed' | 'retry' | 'postponed';
  /** Milliseconds until it may run again. */
  readonly delay: number;
  readonly output: object | string | null;
  readonly deletion_seconds: number;
}

interface Waiting {
  readonly settlement: Settlement;
  readonly settled: () => void;
}

const MOST_AT_ONCE = 500;
const FIRST_DELAY = 0.1 * SECOND;
const LONGEST_DELAY = 1 * SECOND;

export class Settler {
  readonly #database: Database;
  readonly #statement: string;
  readonly #parameters: readonly string[];
  readonly #troubles: Troubles;
  readonly #closed = new AbortController();
  #waiting: Waiting[] = [];
  #isFlushing = false;

  constructor(database: Database, statement: string, parameters: readonly string[], troubles: Troubles) {
    this.#database = database;
    this.#statement = statement;
    this.#parameters = parameters;
    this.#troubles = troubles;
  }

  /** Never rejects: what can't be written down now is, later; until the engine is closed. */
  settle(settlement: Settlement): Promise<void> {
    return new Promise((settled) => {
      this.#waiting.push({ settlement, settled });
      if (!this.#isFlushing) void this.#flush();
    });
  }

  close(): void {
    this.#closed.abort();
  }

  async #flush(): Promise<void> {
    this.#isFlushing = true;
    // What ends in the same turn goes together.
    await null;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_AT_ONCE);
      await this.#write(batch.map(({ settlement }) => settlement));
      for (const { settled } of batch) settled();
    }
    this.#isFlushing = false;
  }

  async #write(settlements: readonly Settlement[]): Promise<void> {
    for (let wait = FIRST_DELAY; ; wait = Math.min(2 * wait, LONGEST_DELAY)) {
      try {
        await this.#database.executeSql(this.#statement, [JSON.stringify(settlements), ...this.#parameters]);
        this.#troubles.over();
        return;
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        this.#troubles.tell(error);
        if (!isPassing(error)) return this.#writeOneByOne(settlements);
        try {
          await delay(wait, undefined, { signal: this.#closed.signal });
        } catch {
          return;
        }
      }
    }
  }

  /** One of them is refused for what is in it: the others are not to blame, and its end is known without its output. */
  async #writeOneByOne(settlements: readonly Settlement[]): Promise<void> {
    const [only] = settlements;
    if (settlements.length > 1) for (const settlement of settlements) await this.#write([settlement]);
    else if (only !== undefined && only.output !== null) await this.#write([{ ...only, output: null }]);
    // Nothing is left to try: without a heartbeat the task is run again.
  }
}
