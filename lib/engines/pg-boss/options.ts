/** The options of `pgBoss()`, and how they are checked. */
import { optionError } from '../../errors.ts';
import { check } from '../../options/check.ts';
import { type Filled, fillIn } from '../../options/defaults.ts';
import { aBoolean, aNumber, anInteger, type Rule, type Rules } from '../../options/rules.ts';
import { ENCODED, isUrl, NOT_SET } from '../url.ts';

/** What runs statements: an adapter of pg-boss's, such as `fromKnex(knex)`, or one of your own. */
interface SqlExecutor {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/** What the engine needs of a `Pool` of pg. */
interface PoolLike {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
  connect(): Promise<unknown>;
}

/** Where Postgres is, or what leads there. */
export type PgBossConnection = string | PoolLike | SqlExecutor | { readonly [option: string]: unknown };

/** The options of `pgBoss()`. */
export interface PgBossOptions {
  /**
   * Where Postgres is: a URL, `postgres://…` or `postgresql://…`; the options of a `Pool` of pg, which are passed on,
   * such as `{ host, database, user, password, ssl, max }`; a `Pool` that you have; or an object with `executeSql`, such
   * as pg-boss's adapters make.
   *
   * Your own pool stays open. A worker takes one of its clients for as long as it works, to be told of new tasks.
   *
   * It must lead to Postgres itself, or to PgBouncer in session mode. In transaction mode `LISTEN` doesn't work, and
   * without it, as with an adapter, workers look for tasks every `pollingIntervalSeconds` only.
   *
   * `undefined`, which an environment variable is that is not set, is refused.
   */
  readonly connection: PgBossConnection | undefined;
  /**
   * The schema in which pg-boss has its tables, in small letters whichever are given.
   *
   * @default 'pgboss'
   */
  readonly schema?: string | undefined;
  /**
   * The name of pg-boss's queue. Everybody who adds tasks, and everybody who works on them, has the same.
   *
   * @default 'background-tasks'
   */
  readonly queue?: string | undefined;
  /**
   * Whether pg-boss may make its schema, and bring it up to its version, at the start. With `false` the start fails
   * where that has not been done.
   *
   * @default true
   */
  readonly migrate?: boolean | undefined;
  /**
   * How long a worker may be silent before its tasks are given to another, in seconds. While its event loop turns, a
   * worker sends three heartbeats in that time.
   *
   * @default 15
   */
  readonly heartbeatSeconds?: number | undefined;
  /**
   * How often pg-boss looks for tasks whose worker is gone, in seconds. Such a task runs again after at most
   * `heartbeatSeconds` and this.
   *
   * @default 10
   */
  readonly superviseIntervalSeconds?: number | undefined;
  /**
   * How often a worker looks for tasks whose hold has ended by itself, in seconds. Of tasks that may run at once, the
   * worker is told.
   *
   * @default 1
   */
  readonly pollingIntervalSeconds?: number | undefined;
  /**
   * How long completed tasks can be found, in seconds, at least.
   *
   * @default 3_600
   */
  readonly keepCompletedSeconds?: number | undefined;
  /**
   * How long failed tasks can be found, in seconds, at least.
   *
   * @default 604_800
   */
  readonly keepFailedSeconds?: number | undefined;
}

export type ResolvedPgBossOptions = Filled<PgBossOptions>;

const HOUR = 3_600;
const DAY = 24 * HOUR;
const DEFAULTS: Omit<ResolvedPgBossOptions, 'connection'> = {
  schema: 'pgboss',
  queue: 'background-tasks',
  migrate: true,
  heartbeatSeconds: 15,
  superviseIntervalSeconds: 10,
  pollingIntervalSeconds: 1,
  keepCompletedSeconds: HOUR,
  keepFailedSeconds: 7 * DAY,
};

const PLACE = 'pgBoss()';
/** The largest `int` of Postgres. */
export const LARGEST_INT: number = 2 ** 31 - 1;

const connection: Rule = {
  expected: `a URL that begins with postgres:// or postgresql://, ${ENCODED}, options for a Pool of pg, such a Pool, or an object with executeSql()`,
  accepts: (value) =>
    typeof value === 'string'
      ? /^postgres(ql)?:\/\/./i.test(value) && isUrl(withHost(value))
      : typeof value === 'object' &&
        value !== null &&
        !Array.isArray(value) &&
        !(value instanceof URL) &&
        !isSingleClient(value),
};

const keepSeconds = anInteger({ unit: 'seconds', from: 1, to: LARGEST_INT });

const RULES: Rules<PgBossOptions> = {
  connection,
  schema: {
    expected: 'a name of at most 50 letters, digits and underscores, without pg_ at the beginning',
    accepts: (value) => typeof value === 'string' && /^(?!pg_)[a-z_]\w{0,49}$/i.test(value),
  },
  queue: {
    expected: 'a name of letters, digits, hyphens, underscores, dots and slashes',
    accepts: (value) => typeof value === 'string' && /^[\w./-]+$/.test(value),
  },
  migrate: aBoolean,
  heartbeatSeconds: anInteger({ unit: 'seconds', from: 1, to: DAY }),
  superviseIntervalSeconds: aNumber({ unit: 'seconds', from: 1, to: DAY }),
  pollingIntervalSeconds: aNumber({ unit: 'seconds', from: 0.1, to: DAY }),
  keepCompletedSeconds: keepSeconds,
  keepFailedSeconds: keepSeconds,
};

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_OPTION` */
export function resolvePgBossOptions(options: PgBossOptions): ResolvedPgBossOptions {
  check(options, RULES, PLACE);
  if (options.connection === undefined) {
    throw optionError(`Expected \`connection\` of ${PLACE} to be ${connection.expected}, ${NOT_SET}.`);
  }
  return fillIn(options, DEFAULTS);
}

/** pg takes a user without a host, where a socket is named later, and signs that are not encoded. */
function withHost(url: string): string {
  return url.replace('@/', '@host/').replace(/%(?![\da-f]{2})/gi, '%25');
}

/** A `Client` of pg is a single connection. The engine needs several: one to listen, others for its statements. */
function isSingleClient(value: object): boolean {
  return 'query' in value && 'connectionParameters' in value;
}
