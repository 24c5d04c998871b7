/** The options of `bullmq()`, and how they are checked. */
import { type BackgroundTaskError, optionError } from '../../errors.ts';
import { check } from '../../options/check.ts';
import {
  aNumber,
  anInteger,
  anObjectOf,
  aString,
  type Filled,
  fillIn,
  milliseconds,
  type Rule,
  type Rules,
} from '../../options/rules.ts';
import { SECOND } from '../../time/timers.ts';
import { ENCODED, isUrl, NOT_SET } from '../url.ts';

/** How long finished tasks can be found. Whichever limit is reached first holds. */
export interface KeepOptions {
  /** For how long, in seconds. */
  readonly age?: number | undefined;
  /** How many, the newest. */
  readonly count?: number | undefined;
}

/** The options of `bullmq()`. */
export interface BullMQOptions {
  /**
   * Where Redis or Valkey is: a URL, `redis://…` or `rediss://…`; the options of ioredis, which are passed on, such as
   * `{ host, port, username, password, tls, sentinels, name }`; or a client of ioredis that you have.
   *
   * A client is not used itself, and stays open: the engine makes connections of its own with the client's options,
   * one to add tasks and two for each worker. The engine itself decides
   * how often they try again and how long they wait for an answer: `maxRetriesPerRequest`, `retryStrategy`,
   * `enableOfflineQueue`, `lazyConnect`, `commandTimeout`, `socketTimeout`, `blockingTimeout`, `blockingTimeoutGrace`,
   * `stringNumbers`, `scripts`, `monitor` and `readOnly` are ignored, also in the query of a URL. A `keyPrefix` is refused,
   * and so is a Redis Cluster.
   *
   * `undefined`, which an environment variable is that is not set, is refused.
   */
  readonly connection: string | object | undefined;
  /**
   * The name of BullMQ's queue. Everybody who adds tasks, and everybody who works on them, has the same.
   *
   * @default 'background-tasks'
   */
  readonly queue?: string | undefined;
  /**
   * What the names of all keys in Redis begin with.
   *
   * @default 'bull'
   */
  readonly prefix?: string | undefined;
  /**
   * How long a worker may be silent before another one takes over its task, in milliseconds. While its event loop turns,
   * a worker renews its locks in time.
   *
   * @default 30_000
   */
  readonly lockDuration?: number | undefined;
  /**
   * How often workers look for tasks whose worker is gone, in milliseconds. Such a task runs again after at most
   * `lockDuration` and two of these.
   *
   * @default 10_000
   */
  readonly stalledInterval?: number | undefined;
  /**
   * How often a task may lose its worker before it is kept as failed: a task that kills its workers must end.
   *
   * @default 3
   */
  readonly maxStalledCount?: number | undefined;
  /**
   * How long completed tasks are kept.
   *
   * @default { age: 3_600, count: 10_000 }
   */
  readonly keepCompleted?: KeepOptions | undefined;
  /**
   * How long failed tasks are kept.
   *
   * @default { age: 604_800, count: 10_000 }
   */
  readonly keepFailed?: KeepOptions | undefined;
}

export interface ResolvedBullMQOptions extends Filled<Omit<BullMQOptions, 'keepCompleted' | 'keepFailed'>> {
  readonly keepCompleted: Filled<KeepOptions>;
  readonly keepFailed: Filled<KeepOptions>;
}

const HOUR = 3_600;
const WEEK = 7 * 24 * HOUR;

const DEFAULTS: Omit<ResolvedBullMQOptions, 'connection'> = {
  queue: 'background-tasks',
  prefix: 'bull',
  lockDuration: 30 * SECOND,
  stalledInterval: 10 * SECOND,
  maxStalledCount: 3,
  keepCompleted: { age: HOUR, count: 10_000 },
  keepFailed: { age: WEEK, count: 10_000 },
};

const PLACE = 'bullmq()';
const duration = milliseconds(100);

const keep = anObjectOf<KeepOptions>({
  age: aNumber({ unit: 'seconds', from: 1 }),
  count: anInteger({ from: 0 }),
});

const connection: Rule = {
  expected: `a URL that begins with redis:// or rediss://, ${ENCODED}, options for ioredis, or a client of ioredis`,
  accepts: (value) =>
    typeof value === 'string'
      ? /^rediss?:\/\/./i.test(value) && isUrl(value)
      : typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof URL),
};

const RULES: Rules<BullMQOptions> = {
  connection,
  queue: {
    expected: 'a non-empty string without a colon',
    accepts: (value) => aString.accepts(value) && !(value as string).includes(':'),
  },
  prefix: aString,
  lockDuration: duration,
  stalledInterval: duration,
  maxStalledCount: anInteger({ from: 0 }),
  keepCompleted: keep,
  keepFailed: keep,
};

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` */
export function resolveBullMQOptions(options: BullMQOptions): ResolvedBullMQOptions {
  refuseOthers((options as BullMQOptions | undefined)?.connection);
  check(options, RULES, PLACE);
  if (options.connection === undefined) throw refusal(`be ${connection.expected}, ${NOT_SET}`);
  refuseWhatEndsTheProcess(options.connection);
  return {
    ...fillIn(options, DEFAULTS),
    keepCompleted: fillIn(options.keepCompleted ?? {}, DEFAULTS.keepCompleted),
    keepFailed: fillIn(options.keepFailed ?? {}, DEFAULTS.keepFailed),
  };
}

type Anything = Readonly<Record<string, unknown>>;

/** Whether `value` is a client of ioredis, of any copy of that package. */
export function isClient(value: string | object): value is object & { readonly options: Anything } {
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
function refuseOthers(value: unknown): void {
  if (isPostgres(value)) {
    // Measured with 6.7.0: a release at the very end of a hold ran tasks twice, and many holds that end at once deadlocked.
    throw refusal(
      "lead to Redis or Valkey, got one for Postgres: BullMQ's own Postgres backend may run a task twice if it is released at the moment its hold ends. For Postgres, use express-background-tasks/pg-boss",
    );
  }
  if (typeof value === 'string') refuseKeyPrefix(keyPrefixIn(value));
  if (typeof value !== 'object' || value === null) return;
  const { isCluster, keyPrefix, sendCommand, defineCommand, url } = value as Anything;
  if (isCluster === true) throw refusal('lead to one Redis (sentinels are fine), got a Redis Cluster');
  if (typeof sendCommand === 'function' && typeof defineCommand !== 'function') {
    throw refusal('be a client of ioredis, got a client of another package');
  }
  refuseKeyPrefix(keyPrefix || (isClient(value) && value.options['keyPrefix']) || keyPrefixIn(url));
}

function keyPrefixIn(url: unknown): string | null {
  return typeof url === 'string' && URL.canParse(url) ? new URL(url).searchParams.get('keyPrefix') : null;
}

function refuseKeyPrefix(keyPrefix: unknown): void {
  if (!keyPrefix) return;
  throw refusal('have no `keyPrefix`, since BullMQ cannot work with one: use `prefix` of bullmq()');
}

/**
 * What ioredis would find out when it connects, in callbacks where nobody catches what is thrown: it reads any text as the
 * number of a database, and asks for `NaN`; and Node takes a number only for a time limit.
 */
function refuseWhatEndsTheProcess(given: string | object): void {
  const { db, connectTimeout } = ioredisOptionsIn(given);
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
  return optionError(`Expected \`connection\` of ${PLACE} to ${what}.`);
}
