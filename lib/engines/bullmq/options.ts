/** The options of `bullmq()`, and how they are checked. */
import { check } from '../../options/check.ts';
import { type Filled, fillIn } from '../../options/defaults.ts';
import { aNumber, anInteger, anObjectOf, aString, milliseconds, type Rules } from '../../options/rules.ts';
import { SECOND } from '../../time/timers.ts';
import { checkConnection, connection, refuseOthers } from './connection.ts';

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
   * At least three times `stalledInterval`, or a task that runs while Redis is away may run twice, though its worker lives.
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
  checkConnection(options.connection);
  return {
    ...fillIn(options, DEFAULTS),
    keepCompleted: fillIn(options.keepCompleted ?? {}, DEFAULTS.keepCompleted),
    keepFailed: fillIn(options.keepFailed ?? {}, DEFAULTS.keepFailed),
  };
}
