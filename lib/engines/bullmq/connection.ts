/** What leads to Redis: how the option `connection` of `bullmq()` is read, and what of it is refused. */
import { type BackgroundTaskError, optionError } from '../../errors.ts';
import { isPlainObject, type Rule } from '../../options/rules.ts';
import { ENCODED, isUrl, NOT_SET } from '../url.ts';

export const connection: Rule = {
  expected: `a URL that begins with redis:// or rediss://, ${ENCODED}, options for ioredis, or a client of ioredis`,
  accepts: (value) =>
    typeof value === 'string'
      ? /^rediss?:\/\/./i.test(value) && isUrl(value)
      : isPlainObject(value) && !(value instanceof URL),
};

type Anything = Readonly<Record<string, unknown>>;

/** Whether `value` is a client of ioredis, of any copy of that package. */
function isClient(value: string | object): value is object & { readonly options: Anything } {
  const { duplicate, defineCommand, options } = value as Anything;
  return (
    typeof value === 'object' &&
    typeof duplicate === 'function' &&
    typeof defineCommand === 'function' &&
    typeof options === 'object'
  );
}

/** What a client was made with, or would be. */
export function optionsOf(connection: object): Anything {
  return isClient(connection) ? connection.options : (connection as Anything);
}

/** The URL as ioredis has to have it: it looks for `rediss:` in small letters, and takes options from the query. */
export function urlWithout(names: readonly string[], given: string): string {
  const url = given.replace(/^rediss?:/i, (scheme) => scheme.toLowerCase());
  if (!url.includes('?') || !URL.canParse(url)) return url;
  const parsed = new URL(url);
  for (const name of names) parsed.searchParams.delete(name);
  return parsed.href;
}

/** Refuses connections that look right, but can't be used. */
export function refuseOthers(value: unknown): void {
  if (isPostgres(value)) {
    // Measured with 6.7.0: a release at the very end of a hold ran tasks twice, and many holds that end at once deadlocked.
    throw refusal(
      "lead to Redis or Valkey, got one for Postgres: BullMQ's own Postgres backend may run a task twice if it is released at the moment its hold ends. For Postgres, use express-background-tasks/pg-boss",
    );
  }
  if (typeof value !== 'object' || value === null) return;
  const { isCluster, sendCommand, defineCommand } = value as Anything;
  if (isCluster === true) throw refusal('lead to one Redis (sentinels are fine), got a Redis Cluster');
  if (typeof sendCommand === 'function' && typeof defineCommand !== 'function') {
    throw refusal('be a client of ioredis, got a client of another package');
  }
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` for none, and for options that ioredis or BullMQ cannot work with. */
export function checkConnection(given: string | object | undefined): asserts given is string | object {
  if (given === undefined) throw refusal(`be ${connection.expected}, ${NOT_SET}`);
  const { keyPrefix, db, connectTimeout } = ioredisOptionsIn(given);
  if (keyPrefix) throw refusal('have no `keyPrefix`, since BullMQ cannot work with one: use `prefix` of bullmq()');
  // What ioredis would find out when it connects, in callbacks where nobody catches what is thrown: it reads any text as the
  // number of a database, and asks for `NaN`; and Node takes a number only for a time limit.
  if (Number.isNaN(Number.parseInt(String(db ?? 0), 10))) throw refusal('name a database by its number, or none');
  if (!isLimit(connectTimeout ?? 0)) throw refusal('have milliseconds, or nothing, as its `connectTimeout`');
}

function isLimit(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY;
}

/** For ioredis, what a URL says comes before the options beside it, and its path before its query. */
function ioredisOptionsIn(given: string | object): Anything {
  const { url, ...beside }: Anything = typeof given === 'string' ? { url: given } : optionsOf(given);
  if (typeof url !== 'string' || !URL.canParse(url)) return beside;
  const { pathname, searchParams } = new URL(url);
  const db = pathname.slice(1);
  return { ...beside, ...Object.fromEntries(searchParams), ...numbersIn(url), ...(db === '' ? {} : { db }) };
}

/** The numbers among the options in a URL's query, where ioredis takes all but one for text. */
export function numbersIn(url: string): Record<string, number> {
  if (!URL.canParse(url)) return {};
  const numbers = [...new URL(url).searchParams].filter(([, text]) => String(Number(text)) === text);
  return Object.fromEntries(numbers.map(([name, text]) => [name, Number(text)]));
}

function isPostgres(value: unknown): boolean {
  if (typeof value === 'string') return /^postgres(ql)?:/i.test(value);
  if (typeof value === 'function') return /postgres/i.test(value.name) || /postgres/i.test(String(value));
  if (typeof value !== 'object' || value === null) return false;
  const { connectionString, query, pool, url } = value as Anything;
  return (
    typeof connectionString === 'string' || typeof query === 'function' || isPostgres(pool) || isPostgres(url ?? '')
  );
}

function refusal(what: string): BackgroundTaskError {
  return optionError(`Expected \`connection\` of bullmq() to ${what}.`);
}
