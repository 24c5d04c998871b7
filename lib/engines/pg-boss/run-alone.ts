/** Statements of the engine's own, in no transaction of a user's; sent again where that does no harm. */
import { setTimeout as delay } from 'node:timers/promises';
import { retryInMsAfter } from '../../retry.ts';
import type { Database } from './database.ts';
import { hasLostConnection } from './lost-connection.ts';
import { sqlStateOf } from './sql-state.ts';

/** SQLSTATE of a serialization failure, and of a deadlock. */
const CONFLICTS: ReadonlySet<string | undefined> = new Set(['40001', '40P01']);
/** The waits are left to chance: statements that were in each other's way would be so again. All together, 380 ms at most. */
const AGAIN = { attempts: 5, delay: 10, factor: 3, maxDelay: 250, jitter: 0.5 };

/** Runs a statement by itself. One that Postgres has given up for the sake of another has done nothing, and is sent again. */
export function runAlone(database: Database, text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
  return runUntil(database, text, values, isConflict);
}

/**
 * The same for a statement that, run twice, does what it does once. It is sent again also where its connection was lost, and
 * nobody knows whether it was run.
 *
 * @param isClosed whether it was this side that has ended the connection.
 */
export function runRepeatable(
  database: Database,
  text: string,
  values: unknown[],
  isClosed: () => boolean,
): Promise<{ rows: unknown[] }> {
  return runUntil(database, text, values, (thrown) => isConflict(thrown) || (hasLostConnection(thrown) && !isClosed()));
}

async function runUntil(
  database: Database,
  text: string,
  values: unknown[],
  isSentAgain: (thrown: unknown) => boolean,
): Promise<{ rows: unknown[] }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await database.executeSql(text, values);
    } catch (thrown) {
      const waitMs = isSentAgain(thrown) ? retryInMsAfter(tries, AGAIN) : undefined;
      if (waitMs === undefined) throw thrown;
      await delay(waitMs);
    }
  }
}

function isConflict(thrown: unknown): boolean {
  return CONFLICTS.has(sqlStateOf(thrown));
}
