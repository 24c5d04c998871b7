/**
 * The statements that pg-boss has no call for. They read and write its `job` table, which its documentation opens to
 * SQL; claims, heartbeats, recovery, retention and the schema are pg-boss's own.
 *
 * Of pg-boss is known here: a claim makes a job `active`, and adds to `retry_count` where `started_on` says that it was
 * started before; a job whose worker is gone becomes `retry`, or `failed` where `retry_count` has reached `retry_limit`.
 */
import { createHash } from 'node:crypto';

/** Long enough for a task that nobody works on: pg-boss deletes what waits for longer. */
const KEPT_WAITING = "interval '100 years'";
/** In seconds. It is the heartbeat that tells of a worker that is gone. */
const LONGEST_RUN = 315_360_000;

/** A claim by this worker, and no later one: the time since it began is compared as coarsely as a `Date` is. */
const SAME_CLAIM = `j.retry_count = i.retry_count
      AND abs(extract(epoch FROM (j.started_on - i.started_on))) < 0.002`;

export interface Statements {
  /** `$1` the tasks as JSON, `$2` the queue, `$3` the channel. */
  readonly stage: string;
  /** `$1` ids, `$2` the queue, `$3` the channel. */
  readonly release: string;
  /** `$1` ids, `$2` the queue. */
  readonly discard: string;
  /** `$1` what came of attempts as JSON, `$2` the queue, `$3` the channel. */
  readonly writeResults: string;
  /** `$1` the id, `$2` the queue. */
  readonly find: string;
  /** `$1` the queue. */
  readonly stats: string;
}

export function statementsFor(schema: string): Statements {
  const job = `${schema}.job`;
  // The clock, not the beginning of the transaction: another call may have ended the hold while this one waited.
  const isHeld = `state = 'created' AND started_on IS NULL AND start_after > clock_timestamp()`;
  // Locked in one order, by whichever call: no two of them wait for each other.
  const heldOfThese = `held AS (
      SELECT id FROM ${job} WHERE name = $2 AND id = ANY($1::uuid[]) AND ${isHeld} ORDER BY id FOR UPDATE
    )`;
  const state = `CASE
      WHEN state = 'active' THEN 'running'
      WHEN state = 'completed' THEN 'completed'
      WHEN state IN ('failed', 'cancelled') THEN 'failed'
      WHEN ${isHeld} THEN 'held'
      WHEN state = 'retry' AND start_after > clock_timestamp() AND (started_on IS NOT NULL OR retry_count > 0)
        THEN 'retrying'
      ELSE 'waiting'
    END`;

  return {
    // Tasks of one statement, and of one transaction, differ in created_on: it decides which is claimed first.
    stage: `
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
    SELECT pg_notify($3, '') FROM staged WHERE start_after <= clock_timestamp() LIMIT 1`,

    release: `
    WITH ${heldOfThese},
    released AS (
      UPDATE ${job} j SET start_after = now() FROM held WHERE j.name = $2 AND j.id = held.id RETURNING j.id
    ),
    notified AS (SELECT pg_notify($3, '') FROM released LIMIT 1)
    SELECT id::text AS id FROM released WHERE (SELECT count(*) FROM notified) >= 0`,

    discard: `
    WITH ${heldOfThese}
    DELETE FROM ${job} j USING held WHERE j.name = $2 AND j.id = held.id RETURNING j.id::text AS id`,

    // A job in state retry was taken for lost, and nobody has claimed it since: its result comes late, not too late.
    writeResults: `
    WITH input AS (
      SELECT * FROM json_to_recordset($1::text::json) AS x (
        id uuid, retry_count int, started_on timestamptz, kind text, delay float8, output jsonb, deletion_seconds int
      )
    ),
    claimed AS (
      SELECT j.id AS job_id, i.* FROM ${job} j JOIN input i ON j.id = i.id
      WHERE j.name = $2 AND j.state IN ('active', 'retry') AND ${SAME_CLAIM}
      ORDER BY j.id FOR UPDATE OF j
    ),
    settled AS (
      UPDATE ${job} j SET
        state = (CASE WHEN c.kind IN ('completed', 'failed') THEN c.kind ELSE 'retry' END)::${schema}.job_state,
        completed_on = CASE WHEN c.kind IN ('completed', 'failed') THEN now() END,
        started_on = CASE WHEN c.kind = 'postponed' THEN NULL ELSE j.started_on END,
        start_after = CASE WHEN c.kind IN ('retry', 'postponed')
          THEN clock_timestamp() + c.delay * interval '1 millisecond' ELSE j.start_after END,
        output = CASE WHEN c.kind = 'postponed' THEN j.output ELSE c.output END,
        deletion_seconds = c.deletion_seconds
      FROM claimed c WHERE j.name = $2 AND j.id = c.job_id
      RETURNING j.state, j.start_after
    )
    SELECT pg_notify($3, '') FROM settled WHERE state = 'retry' AND start_after <= clock_timestamp() LIMIT 1`,

    find: `
    SELECT data, output, ${state} AS state,
      (CASE WHEN started_on IS NULL THEN retry_count ELSE retry_count + 1 END)::int AS attempts
    FROM ${job} WHERE name = $2 AND id = $1::uuid`,

    stats: `
    SELECT
      (count(*) FILTER (WHERE state = 'held'))::int AS held,
      (count(*) FILTER (WHERE state = 'waiting'))::int AS waiting,
      (count(*) FILTER (WHERE state = 'running'))::int AS running,
      (count(*) FILTER (WHERE state = 'failed'))::int AS failed
    FROM (SELECT ${state} AS state FROM ${job} WHERE name = $1 AND state <> 'completed') AS jobs`,
  };
}

/** Channels are shared by the whole database, and their names are short. */
export function channelFor(schema: string, queue: string): string {
  const digest = createHash('sha256').update(`${schema.toLowerCase()}.${queue}`).digest('hex');
  return `background_tasks_${digest.slice(0, 24)}`;
}
