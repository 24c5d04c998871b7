/** Writes the results of attempts to Postgres. Those that come while one statement runs go together in the next. */
import { setTimeout as delay } from 'node:timers/promises';
import { Batches } from '../../durable/batches.ts';
import { Backoff } from '../../time/backoff.ts';
import { SECOND } from '../../time/timers.ts';
import type { Database } from './database.ts';
import { isPassing, type RepeatedErrors } from './repeated-errors.ts';
import { runAlone } from './run-alone.ts';

/** One claim of a job: `retry_count` and `started_on` tell it from others. */
export interface ClaimRow {
  readonly id: string;
  readonly retry_count: number;
  readonly started_on: Date;
}

/** One attempt's result: a row of the input of the statement `writeResults`. */
export interface ResultRow extends ClaimRow {
  readonly kind: 'completed' | 'failed' | 'retry' | 'postponed';
  /** How long until the task may run again, in milliseconds. */
  readonly delay: number;
  readonly output: object | string | null;
  readonly deletion_seconds: number;
}

const FIRST_DELAY = 0.1 * SECOND;
const LONGEST_DELAY = 1 * SECOND;

export class ResultWriter {
  readonly #database: Database;
  readonly #statement: string;
  readonly #parameters: readonly string[];
  readonly #errors: RepeatedErrors;
  readonly #closed = new AbortController();
  readonly #batches: Batches<ResultRow, undefined>;

  constructor(database: Database, statement: string, parameters: readonly string[], errors: RepeatedErrors) {
    this.#database = database;
    this.#statement = statement;
    this.#parameters = parameters;
    this.#errors = errors;
    this.#batches = new Batches((rows) => this.#writeAll(rows), { mostCalls: 1 });
  }

  /** Never rejects: a row that can't be written now is tried again, until the engine is closed. */
  write(row: ResultRow): Promise<void> {
    return this.#batches.add(row);
  }

  close(): void {
    this.#closed.abort();
  }

  async #writeAll(rows: readonly ResultRow[]): Promise<undefined[]> {
    await this.#writeRows(rows);
    return new Array(rows.length);
  }

  async #writeRows(rows: readonly ResultRow[]): Promise<void> {
    const backoff = new Backoff(FIRST_DELAY, LONGEST_DELAY);
    for (;;) {
      try {
        await runAlone(this.#database, this.#statement, [JSON.stringify(rows), ...this.#parameters]);
        this.#errors.answered();
        return;
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        this.#errors.tell(error);
        if (!isPassing(error)) return this.#writeOneByOne(rows);
        try {
          await delay(backoff.next(), undefined, { signal: this.#closed.signal });
        } catch {
          return;
        }
      }
    }
  }

  /** Postgres refuses what is in one of these rows. Each is written by itself, and that one without its output. */
  async #writeOneByOne(rows: readonly ResultRow[]): Promise<void> {
    const [only] = rows;
    if (rows.length > 1) for (const row of rows) await this.#writeRows([row]);
    else if (only !== undefined && only.output !== null) await this.#writeRows([{ ...only, output: null }]);
    // Nothing is left to try. Without a heartbeat the task is run again.
  }
}
