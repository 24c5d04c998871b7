/**
 * Makes the schema, where it is not there yet. pg-boss would ask Postgres to make it in any case, and for that alone a role needs
 * the right to make schemas in the database, which one that was given a schema of its own seldom has.
 */
import { engineError } from '../../errors.ts';
import { toError } from '../../to-error.ts';
import type { Database } from './database.ts';
import { sqlStateOf } from './sql-state.ts';

const NOT_ALLOWED = '42501';
/** Another process has made it meanwhile. The first of these comes where that had not been committed when this one looked. */
const MADE_MEANWHILE: ReadonlySet<string | undefined> = new Set(['23505', '42P06']);

/**
 * @param schema in quotes.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if the role may not make it.
 */
export async function makeSchema(database: Database, schema: string): Promise<void> {
  const { rows } = await database.executeSql('SELECT to_regnamespace($1) IS NULL AS missing', [schema]);
  if ((rows[0] as { missing: unknown }).missing === false) return;
  try {
    await database.executeSql(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
  } catch (thrown) {
    const state = sqlStateOf(thrown);
    if (MADE_MEANWHILE.has(state)) return;
    if (state !== NOT_ALLOWED) throw thrown;
    const { message } = toError(thrown);
    throw engineError(
      `Expected the schema ${schema} to be there, or a role that may make it: ${message}. Run \`CREATE SCHEMA ${schema} AUTHORIZATION\` with the name of the role.`,
      { cause: thrown },
    );
  }
}
