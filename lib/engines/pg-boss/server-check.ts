/** What the engine makes sure of before it trusts a Postgres with tasks. */
import { describe } from '../../describe.ts';
import type { EngineHost } from '../../durable/engine.ts';
import { engineError } from '../../errors.ts';
import type { Database } from './database.ts';

const OLDEST_POSTGRES = 13;
/** A moment with a fraction, in seconds since 1970. */
const MOMENT = 1_000_000_000.125;

/** Encodings of a database that can hold every character. */
const HOLDS_ALL: ReadonlySet<string> = new Set(['UTF8', 'SQL_ASCII']);

/**
 * @returns the encoding of the database.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if Postgres is older than pg-boss knows, or its times can't be read.
 */
export async function checkPostgres(database: Database): Promise<string> {
  const { rows } = await database.executeSql(
    `SELECT current_setting('server_version_num') AS version, current_setting('datestyle') AS datestyle, to_timestamp(${MOMENT}) AS moment, current_setting('server_encoding') AS encoding`,
  );
  const { version, datestyle, moment, encoding } = rows[0] as Record<string, unknown>;
  const number = Number.parseInt(String(version), 10);
  if (number < OLDEST_POSTGRES * 10_000) {
    throw engineError(`Expected Postgres ${OLDEST_POSTGRES} or later, got ${Math.floor(number / 10_000)}.`);
  }
  // A worker tells its own claim of a task from another's by when it began: read wrongly, no result would ever be kept.
  if (timeOf(moment) !== MOMENT * 1_000) {
    throw engineError(
      `Expected pg to read a timestamptz as a Date or as text that a Date can be made of, got ${describe(moment)}: the DateStyle of the connection is ${datestyle}, and ISO is needed, as after \`ALTER ROLE … SET datestyle = 'ISO'\`, without a type parser that makes something else of it.`,
    );
  }
  return String(encoding);
}

export function warnOfEncoding(encoding: string, host: EngineHost): void {
  if (HOLDS_ALL.has(encoding)) return;
  host.warn(
    `The database has the encoding ${encoding}: tasks with characters that it lacks are refused, and so are those that are added at the same time. Use a database with UTF8.`,
  );
}

function timeOf(value: unknown): number {
  try {
    return Number(new Date(value as Date | string));
  } catch {
    return Number.NaN;
  }
}
