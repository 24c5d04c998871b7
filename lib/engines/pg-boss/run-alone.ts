/** Runs a statement of the engine's own, in no transaction of a user's. */
import { setTimeout as delay } from 'node:timers/promises';
import { retryInMsAfter } from '../../retry.ts';
import type { Database } from './database.ts';
import { sqlStateOf } from './sql-state.ts';

/** SQLSTATE of a serialization failure, and of a deadlock. */
const CONFLICTS: ReadonlySet<string | undefined> = new Set(['40001', '40P01']);
/** The waits are left to chance: statements that were in each other's way would be so again. All together, 380 ms at most. */
const AGAIN = { attempts: 5, delay: 10, factor: 3, maxDelay: 250, jitter: 0.5 };

/** One that Postgres has given up for the sake of another has done nothing, and is sent again. */
export async function runAlone(database: Database, text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await database.executeSql(text, values);
    } catch (thrown) {
      const waitMs = CONFLICTS.has(sqlStateOf(thrown)) ? retryInMsAfter(tries, AGAIN) : undefined;
      if (waitMs === undefined) throw thrown;
      await delay(waitMs);
    }
  }
}
