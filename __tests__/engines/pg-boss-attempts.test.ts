/** Attempts on Postgres: when the next is made, and what becomes of one whose worker is lost or was given its task again. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import type { WorkResult } from 'express-background-tasks';
import { fixture } from '../support/fixtures.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { COMPLETED } from './support/completed.ts';
import { start } from './support/pg-boss-engines.ts';
import { makeTask, stageOne } from './support/pg-boss-tasks.ts';
import { runOne, type Start, watch } from './support/pg-boss-workers.ts';
import { describeWithPostgres, sharePostgres, TIMEOUT } from './support/shared-postgres.ts';
import { untilSoon, untilState } from './support/until-soon.ts';

expectNoProcessFaults();

const { server, fresh, started, connected } = sharePostgres();

describeWithPostgres('pgBoss() on Postgres', () => {
  describe('attempts', () => {
    it('are as far apart as the task says, to the millisecond', async () => {
      const engine = await started();
      await watch(engine, () => ({ kind: 'failed', error: new Error('no'), retry: true }));
      const id = await stageOne(engine, { holdMs: 0, retry: { attempts: 2, delay: 123_456 } });
      await untilState(engine, id, 'retrying');
      const client = await connected();
      const { rows } = await client.query(
        'SELECT extract(epoch FROM start_after - started_on)::float8 AS apart FROM pgboss.job WHERE id = $1',
        [id],
      );
      const { apart } = rows[0] as { apart: number };
      expect(apart).toBeGreaterThanOrEqual(123.456);
      expect(apart).toBeLessThan(124.456 + TIMEOUT / 1_000);
    });

    it('are not counted where a task was postponed, before or between them', async () => {
      const engine = await started();
      const postponed: WorkResult = { kind: 'postponed', delayMs: 1 };
      const failed: WorkResult = { kind: 'failed', error: new Error('no'), retry: true };
      const results = [postponed, postponed, failed, postponed, failed];
      const worker = await watch(engine, () => results[worker.starts.length - 1] as WorkResult);
      const id = await stageOne(engine, { holdMs: 0, retry: { attempts: 2, delay: 1 } });
      expect(await untilState(engine, id, 'failed')).toMatchObject({ attempts: 2 });
      expect(worker.starts.map(({ context }) => context.attempt)).toEqual([1, 1, 1, 2, 2]);
    });

    it.each([
      ['again', undefined, 'it runs again'],
      ['for the last time', 1, 'it runs for the last time, and is kept as failed if that worker ends too'],
    ])(
      'whose worker was killed are made %s by another, which says so, even after the last',
      async (_what, crashesLeft, said) => {
        const options = fresh({ heartbeatSeconds: 2, superviseIntervalSeconds: 1 });
        const warnings: string[] = [];
        const engine = await start(options, undefined, (message) => warnings.push(message));
        const id = await stageOne(engine, { holdMs: 0, retry: { attempts: 1 } });
        if (crashesLeft !== undefined) {
          const client = await connected();
          await client.query('UPDATE pgboss.job SET retry_limit = $1 WHERE id = $2', [crashesLeft, id]);
        }
        const doomed = spawn(
          process.execPath,
          [fileURLToPath(fixture('pg-boss-worker.mjs')), JSON.stringify(options)],
          {
            stdio: ['ignore', 'pipe', 'inherit'],
          },
        );
        const [line] = (await once(createInterface(doomed.stdout), 'line')) as [string];
        expect(line).toBe(id);
        const exit = once(doomed, 'exit');
        doomed.kill('SIGKILL');
        await exit;
        expect(await engine.find(id)).toMatchObject({ state: 'running', attempts: 1 });
        const worker = await watch(engine);
        await untilState(engine, id, 'completed');
        expect(worker.starts.map(({ context }) => context.attempt)).toEqual([2]);
        expect(warnings).toEqual([expect.stringMatching(`\\(${id}\\) lost its worker.*2 s: ${said}\\.$`)]);
      },
      TIMEOUT,
    );

    it('that take long are not given to another worker while their own sends heartbeats', async () => {
      const engine = await started({ heartbeatSeconds: 1, superviseIntervalSeconds: 1 });
      const { gate, worker, id } = await runOne(engine);
      const client = await connected();
      // Three times the longest silence, and three times the interval of the check.
      await untilSoon('it was heard for long', async () => {
        const { rows } = await client.query(
          "SELECT 1 FROM pgboss.job WHERE id = $1 AND heartbeat_on > started_on + interval '3 seconds'",
          [id],
        );
        return rows.length > 0;
      });
      gate.open();
      expect(await untilState(engine, id, 'completed')).toMatchObject({ attempts: 1 });
      expect(worker.starts).toHaveLength(1);
      expect(worker.starts[0]?.context.signal.aborted).toBe(false);
    });

    it('are locked for a heartbeat in the order in which their results are written: neither waits for the other', async () => {
      // Where many tasks run, Postgres finds them by an index whose order is another than that of ids. Of few, it does without any.
      const options = '-c enable_indexscan=off -c enable_bitmapscan=off';
      const place = { host: '127.0.0.1', port: server.port, database: 'postgres', user: 'postgres' };
      const engine = await started({ connection: { ...place, options }, schema: 'heartbeats', heartbeatSeconds: 1 });
      const gate = makeGate();
      const worker = await watch(engine, async () => {
        await gate.opened;
        return COMPLETED;
      });
      const [first, last] = [randomUUID(), randomUUID()].sort() as [string, string];
      await engine.stage(
        [last, first].map((id) => makeTask({ id, holdMs: 0 })),
        {},
      );
      for (const id of [first, last]) await worker.started(id);

      const [holder, client] = [await connected(), await connected()];
      // A row that is written anew comes behind all others.
      await client.query('UPDATE heartbeats.job SET output = output WHERE id = $1', [first]);
      await holder.query('BEGIN');
      await holder.query('SELECT FROM heartbeats.job WHERE id = $1 FOR UPDATE', [first]);
      const { rows: pids } = await holder.query('SELECT pg_backend_pid() AS pid');
      await untilSoon('a heartbeat waits', async () => {
        const { rows } = await client.query('SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))', [
          pids[0].pid,
        ]);
        return rows.length > 0;
      });
      const { rows } = await client.query('SELECT id FROM heartbeats.job WHERE id = $1 FOR UPDATE SKIP LOCKED', [last]);
      await holder.query('COMMIT');
      gate.open();
      await worker.stop();
      expect(rows).toEqual([{ id: last }]);
    });

    it('that were given to another worker unnoticed do not affect what it does', async () => {
      // While this runs, no heartbeat is sent, and none is missed.
      const options = fresh({ heartbeatSeconds: 600 });
      const [engine, other] = [await start(options), await start(options)];
      const gates = [makeGate(), makeGate()];
      const behaviour = async ({ envelope, context: { attempt } }: Start): Promise<WorkResult> => {
        if (envelope.args[0] === 'later') return COMPLETED;
        await gates[attempt - 1]?.opened;
        return { kind: 'completed', value: `of attempt ${attempt}` };
      };
      const worker = await watch(engine, behaviour, 1);
      const id = await stageOne(engine, { holdMs: 0 });
      await worker.started(id);
      const another = await watch(other, behaviour);
      const client = await connected();
      // As pg-boss does with a job whose worker it considers lost.
      await client.query("UPDATE pgboss.job SET state = 'retry' WHERE id = $1", [id]);
      await another.started(id);
      gates[0]?.open();
      // A task that ends later is recorded later.
      await untilState(engine, await stageOne(engine, { holdMs: 0, args: ['later'] }), 'completed');
      expect(await engine.find(id)).toMatchObject({ state: 'running', attempts: 2 });
      gates[1]?.open();
      expect(await untilState(engine, id, 'completed')).toMatchObject({ value: 'of attempt 2' });
    });

    it('that were given to their own worker again are told so: it does not go on with both', async () => {
      // While this runs, no heartbeat is sent, and none is missed.
      const engine = await started({ heartbeatSeconds: 600 });
      const worker = await watch(engine, async ({ context: { attempt, signal } }) => {
        if (attempt === 1 && !signal.aborted) await once(signal, 'abort');
        return { kind: 'completed', value: `of attempt ${attempt}` };
      });
      const id = await stageOne(engine, { holdMs: 0 });
      await worker.started(id);
      const client = await connected();
      // As pg-boss does with a job whose worker it considers lost.
      await client.query("UPDATE pgboss.job SET state = 'retry' WHERE id = $1", [id]);
      await untilSoon('it was started again', () => worker.starts.length === 2);
      const [first, second] = worker.starts.map(({ context }) => context.signal);
      expect((first?.reason as Error | undefined)?.message).toMatch(/given to this worker again/);
      expect(second?.aborted).toBe(false);
      expect(await untilState(engine, id, 'completed')).toMatchObject({ value: 'of attempt 2' });
      await worker.stop();
    });

    it('that were cancelled by hand are told that this may have happened, and are kept as failed', async () => {
      const engine = await started({ heartbeatSeconds: 1 });
      const worker = await watch(engine, async ({ context: { signal } }) => {
        if (!signal.aborted) await once(signal, 'abort');
        return COMPLETED;
      });
      const id = await stageOne(engine, { holdMs: 0 });
      await worker.started(id);
      const client = await connected();
      // As cancel() of pg-boss does.
      await client.query("UPDATE pgboss.job SET state = 'cancelled', completed_on = now() WHERE id = $1", [id]);
      await worker.stop();
      const [start] = worker.starts as [Start];
      expect((start.context.signal.reason as Error).message).toMatch(/ended by hand/);
      expect(await engine.find(id)).toMatchObject({ state: 'failed', attempts: 1 });
    });

    it('that were given to another are told so, and count no more', async () => {
      const options = fresh({ heartbeatSeconds: 1 });
      const engine = await start(options);
      const gate = makeGate();
      const worker = await watch(
        engine,
        async ({ context }) => {
          if (context.attempt > 1) return { kind: 'completed', value: 'the second' };
          await gate.opened;
          return { kind: 'completed', value: 'the first' };
        },
        2,
      );
      const id = await stageOne(engine, { holdMs: 0, retry: { attempts: 2 } });
      await worker.started(id);
      const client = await connected();
      // As pg-boss does with a job whose worker it considers lost.
      await client.query("UPDATE pgboss.job SET state = 'retry' WHERE id = $1", [id]);
      const signal = worker.starts[0]?.context.signal as AbortSignal;
      if (!signal.aborted) await once(signal, 'abort');
      expect((signal.reason as Error).message).toMatch(/given to another worker/);
      await untilState(engine, id, 'completed');
      gate.open();
      await worker.stop();
      expect(await engine.find(id)).toMatchObject({ value: 'the second', attempts: 2 });
    });
  });
});
