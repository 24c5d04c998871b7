/**
 * The statements that pg-boss has no call for, or none that fits. They read and write its `job` table, which its
 * documentation opens to SQL; claims, recovery, retention and the schema are pg-boss's own.
 *
 * What they rely on in pg-boss: a claim makes a job `active`, and adds to `retry_count` where `started_on` says that it was
 * started before; a job whose worker is gone becomes `retry`, or `failed` where `retry_count` has reached `retry_limit`.
 */
import { createHash } from 'node:crypto';

/** pg-boss deletes a task that waits for longer than this. */
const KEPT_WAITING = "interval '100 years'";
/** In seconds: no limit. A worker that is gone is found by its heartbeat. */
const LONGEST_RUN = 315_360_000;

/** Which claims of jobs the rows of `i` are about. */
const CLAIM = 'id uuid, retry_count int, started_on timestamptz';
/** The job has not been claimed again since. `started_on` was a `Date` meanwhile, which has milliseconds only. */
const SAME_CLAIM = `j.retry_count = i.retry_count
      AND abs(extract(epoch FROM (j.started_on - i.started_on))) < 0.002`;

export interface Statements {
  /** `$1` the tasks as JSON, `$2` the queue, `$3` the channel. */
  readonly stage: string;
  /** `$1` ids, `$2` the queue, `$3` the channel. */
  readonly release: string;
  /** `$1` ids, `$2` the queue. */
  readonly discard: string;
  /** `$1` the claims of jobs as JSON, `$2` the queue. Returns the ids of those that have not lapsed. */
  readonly beat: string;
  /** `$1` what came of attempts as JSON, `$2` the queue, `$3` the channel. */
  readonly writeResults: string;
  /** `$1` the id, `$2` the queue. */
  readonly find: string;
  /** `$1` the queue. */
  readonly stats: string;
}

// The clock, not the start of the transaction: another call may have ended the hold while this one waited for its locks.
const IS_HELD = `state = 'created' AND started_on IS NULL AND start_after > clock_timestamp()`;

const STATE = `CASE
    WHEN state = 'active' THEN 'running'
    WHEN state = 'completed' THEN 'completed'
    WHEN state IN ('failed', 'cancelled') THEN 'failed'
    WHEN ${IS_HELD} THEN 'held'
    WHEN state = 'retry' AND start_after > clock_timestamp() AND (started_on IS NOT NULL OR retry_count > 0)
      THEN 'retrying'
    ELSE 'waiting'
  END`;

/** A schema as SQL has it. Without quotes a name may be a word of SQL, as `user` is, and Postgres reads it in small letters. */
export function quoted(schema: string): string {
  return `"${schema.toLowerCase()}"`;
}

/** @param schema in quotes. */
export function statementsFor(schema: string): Statements {
  const job = `${schema}.job`;
  return {
    stage: stage(job),
    release: release(job),
    discard: discard(job),
    beat: beat(job),
    writeResults: writeResults(job, `${schema}.job_state`),
    find: find(job),
    stats: stats(job),
  };
}

// Tasks of one statement, and of one transaction, differ in created_on: it decides which is claimed first.
const stage = (job: string): string => `
  WITH staged AS (
    INSERT INTO ${job} (
      id, name, data, priority, start_after, created_on, keep_until,
      retry_limit, retry_delay, retry_backoff, expire_seconds, deletion_seconds, heartbeat_seconds, policy
    )
    SELECT
      t.id, $2, t.data, t.priority,
      clock.now + t.hold * interval '1 millisecond',
      clock.now + t.position * interval '1 microsecond',
      clock.now + t.hold * interval '1 millisecond' + ${KEPT_WAITING},
      t.retry_limit, 0, false, ${LONGEST_RUN}, t.deletion_seconds, t.heartbeat_seconds, 'standard'
    FROM json_to_recordset($1::text::json) AS t (
      position int, id uuid, data jsonb, priority int, hold float8,
      retry_limit int, deletion_seconds int, heartbeat_seconds int
    )
    CROSS JOIN (SELECT clock_timestamp() AS now) AS clock
    ORDER BY t.id
    ON CONFLICT DO NOTHING
    RETURNING start_after
  )
  SELECT pg_notify($3, '') FROM staged WHERE start_after <= clock_timestamp() LIMIT 1`;

/** The tasks of `$1` that are held. All calls lock them in the same order, so that no two wait for each other. */
const heldOfThese = (job: string): string => `held AS (
    SELECT id FROM ${job} WHERE name = $2 AND id = ANY($1::uuid[]) AND ${IS_HELD} ORDER BY id FOR UPDATE
  )`;

const release = (job: string): string => `
  WITH ${heldOfThese(job)},
  released AS (
    UPDATE ${job} j SET start_after = now() FROM held WHERE j.name = $2 AND j.id = held.id RETURNING j.id
  ),
  notified AS (SELECT pg_notify($3, '') FROM released LIMIT 1)
  SELECT id::text AS id FROM released WHERE (SELECT count(*) FROM notified) >= 0`;

const discard = (job: string): string => `
  WITH ${heldOfThese(job)}
  DELETE FROM ${job} j USING held WHERE j.name = $2 AND j.id = held.id RETURNING j.id::text AS id`;

// pg-boss's own locks jobs in any order. A worker writes results at the same time, and the two would wait for each other.
const beat = (job: string): string => `
  WITH claimed AS (
    SELECT j.id FROM ${job} j JOIN json_to_recordset($1::text::json) AS i (${CLAIM}) ON j.id = i.id
    WHERE j.name = $2 AND j.state = 'active' AND ${SAME_CLAIM}
    ORDER BY j.id FOR UPDATE OF j
  )
  UPDATE ${job} j SET heartbeat_on = clock_timestamp() FROM claimed c
  WHERE j.name = $2 AND j.id = c.id RETURNING j.id::text AS id`;

// A job in state retry was taken for lost, and has not been claimed since: its result is late, but not too late.
const writeResults = (job: string, jobState: string): string => `
  WITH input AS (
    SELECT * FROM json_to_recordset($1::text::json) AS x (
      ${CLAIM}, kind text, delay float8, output jsonb, deletion_seconds int
    )
  ),
  claimed AS (
    SELECT j.id AS job_id, i.* FROM ${job} j JOIN input i ON j.id = i.id
    WHERE j.name = $2 AND j.state IN ('active', 'retry') AND ${SAME_CLAIM}
    ORDER BY j.id FOR UPDATE OF j
  ),
  settled AS (
    UPDATE ${job} j SET
      state = (CASE WHEN c.kind IN ('completed', 'failed') THEN c.kind ELSE 'retry' END)::${jobState},
      completed_on = CASE WHEN c.kind IN ('completed', 'failed') THEN now() END,
      started_on = CASE WHEN c.kind = 'postponed' THEN NULL ELSE j.started_on END,
      start_after = CASE WHEN c.kind IN ('retry', 'postponed')
        THEN clock_timestamp() + c.delay * interval '1 millisecond' ELSE j.start_after END,
      output = CASE WHEN c.kind = 'postponed' THEN j.output ELSE c.output END,
      deletion_seconds = c.deletion_seconds
    FROM claimed c WHERE j.name = $2 AND j.id = c.job_id
    RETURNING j.state, j.start_after
  )
  SELECT pg_notify($3, '') FROM settled WHERE state = 'retry' AND start_after <= clock_timestamp() LIMIT 1`;

const find = (job: string): string => `
  SELECT data, output, ${STATE} AS state,
    (CASE WHEN started_on IS NULL THEN retry_count ELSE retry_count + 1 END)::int AS attempts
  FROM ${job} WHERE name = $2 AND id = $1::uuid`;

// Each count is answered from an index of pg-boss's, which has the state and `start_after`: the jobs themselves, with all that
// they were given, need not be read. Only of those in state retry, which are few, they are.
const stats = (job: string): string => `
  SELECT
    held,
    created - held + (
      SELECT count(*) FILTER (WHERE ${STATE} = 'waiting') FROM ${job} WHERE name = $1 AND state = 'retry'
    )::int AS waiting,
    (SELECT count(*) FROM ${job} WHERE name = $1 AND state = 'active')::int AS running,
    (SELECT count(*) FROM ${job} WHERE name = $1 AND state = 'failed')::int AS failed
  FROM (
    SELECT count(*)::int AS created, (count(*) FILTER (WHERE start_after > now()))::int AS held
    FROM ${job} WHERE name = $1 AND state = 'created'
  ) AS never_started`;

/**
 * Channels are shared by the whole database, and their names are short.
 *
 * @param schema in quotes.
 */
export function channelFor(schema: string, queue: string): string {
  const digest = createHash('sha256').update(`${schema}.${queue}`).digest('hex');
  return `background_tasks_${digest.slice(0, 24)}`;
}
