/** What the engine makes sure of before it trusts a Postgres with tasks. */
import { BackgroundTaskError } from '../../errors.ts';
import type { Database } from './database.ts';

const OLDEST_POSTGRES = 13;

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if Postgres is older than pg-boss knows. */
export async function checkPostgres(database: Database): Promise<void> {
  const { rows } = await database.executeSql("SELECT current_setting('server_version_num') AS version");
  const version = Number.parseInt(String((rows[0] as { version: unknown }).version), 10);
  if (version >= OLDEST_POSTGRES * 10_000) return;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_ENGINE',
    `Expected Postgres ${OLDEST_POSTGRES} or later, got ${Math.floor(version / 10_000)}.`,
  );
}
