/** The rows that pgBoss() writes: what they hold, in which order, for how long, and what others make of them. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { StagedTask } from 'express-background-tasks';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { COMPLETED } from './support/completed.ts';
import { start } from './support/pg-boss-engines.ts';
import { makeTask, stageOne } from './support/pg-boss-tasks.ts';
import { watch } from './support/pg-boss-workers.ts';
import { describeWithPostgres, sharePostgres } from './support/shared-postgres.ts';
import { untilState } from './support/until-soon.ts';

expectNoProcessFaults();

const { fresh, started, connected } = sharePostgres();

describeWithPostgres('pgBoss() on Postgres', () => {
  describe('rows', () => {
    it('have the task as JSON that SQL can look into', async () => {
      const engine = await started();
      const id = await stageOne(engine, { args: [{ order: 7 }] });
      const client = await connected();
      const { rows } = await client.query(
        "SELECT data #>> '{envelope,args,0,order}' AS found FROM pgboss.job WHERE id = $1",
        [id],
      );
      expect(rows).toEqual([{ found: '7' }]);
    });

    it.each(['a \u0000 b', 'half of a pair: \ud83d', '\udc00', 'the text \\u0000'])(
      'bring back %j, which jsonb may not hold',
      async (text) => {
        const engine = await started();
        const worker = await watch(engine, ({ envelope }) =>
          envelope.args[1] === 'fail'
            ? { kind: 'failed', error: new Error(text), retry: false }
            : { kind: 'completed', value: [text] },
        );
        const completed = await stageOne(engine, { args: [text, { [text]: text }], holdMs: 0 });
        const failed = await stageOne(engine, { args: [text, 'fail'], holdMs: 0 });
        expect(await untilState(engine, completed, 'completed')).toMatchObject({ name: 'a.task', value: [text] });
        expect(await untilState(engine, failed, 'failed')).toMatchObject({ error: { message: text } });
        expect(worker.starts.map(({ envelope }) => envelope.args)).toContainEqual([text, { [text]: text }]);
      },
    );

    it('hold the largest numbers that may be given', async () => {
      const engine = await started({ keepCompletedSeconds: 2 ** 31 - 1, keepFailedSeconds: 2 ** 31 - 1 });
      const worker = await watch(engine, ({ context }) =>
        context.attempt === 1 ? { kind: 'failed', error: new Error('once'), retry: true } : COMPLETED,
      );
      const id = await stageOne(engine, { holdMs: 0, retry: { attempts: Number.MAX_SAFE_INTEGER } });
      expect(await untilState(engine, id, 'completed')).toMatchObject({ attempts: 2 });
      expect(worker.starts).toHaveLength(2);
    });

    it('of tasks that have completed are not looked at where the others are counted, however many there are', async () => {
      const client = await connected();
      let plan: string | undefined;
      const executeSql = async (text: string, values: unknown[] = []) => {
        if (text.includes('AS waiting')) {
          plan = JSON.stringify((await client.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values)).rows);
        }
        return client.query(text, values);
      };
      const options = fresh({ connection: { executeSql } });
      const engine = await start(options);
      await stageOne(engine);
      await client.query(
        `INSERT INTO pgboss.job (name, state, completed_on)
        SELECT $1, 'completed', now() FROM generate_series(1, 5000)`,
        [options.queue],
      );
      await client.query('ANALYZE pgboss.job');
      expect(await engine.stats()).toEqual({ held: 1, waiting: 0, running: 0, failed: 0 });
      expect(plan).toContain('"Actual Rows"');
      expect(plan).not.toContain('"Rows Removed by Filter"');
    });

    it('of other writers fail, and the rest go on', async () => {
      const options = fresh();
      const engine = await start(options);
      const client = await connected();
      const stranger = randomUUID();
      await client.query('INSERT INTO pgboss.job (id, name, data) VALUES ($1, $2, $3)', [
        stranger,
        options.queue,
        '{"not":"a task"}',
      ]);
      const worker = await watch(engine);
      const id = await stageOne(engine, { holdMs: 0 });
      await untilState(engine, id, 'completed');
      expect(await untilState(engine, stranger, 'failed')).toMatchObject({
        error: { message: 'Expected the data of a job to be a task, got something else.' },
      });
      expect(worker.starts.map((one) => one.envelope.id)).toEqual([id]);
    });

    it('that others have made unreadable keep no task from being run that is fetched together with them', async () => {
      const engine = await started();
      const [changed, ...rest] = [await stageOne(engine), await stageOne(engine), await stageOne(engine)] as const;
      const client = await connected();
      // As after the loss of a worker, with a result that is no JSON.
      await client.query(
        "UPDATE pgboss.job SET state = 'retry', retry_count = 1, output = '\"none\"', priority = 100 WHERE id = $1",
        [changed],
      );
      await client.query('UPDATE pgboss.job SET start_after = now() WHERE id = ANY($1::uuid[])', [[changed, ...rest]]);
      await watch(engine);
      for (const id of [changed, ...rest]) {
        expect((await untilState(engine, id, 'completed')).attempts).toBe(id === changed ? 2 : 1);
      }
    });

    it('of which the data was changed by others fail, and the rest go on', async () => {
      const engine = await started();
      const changes = [
        `'"none"'`,
        "jsonb_set(data, '{envelope,id}', '1')",
        "data - 'retry'",
        `data || '{"retry":{"attempts":"1"}}'`,
      ];
      const client = await connected();
      for (const change of changes) {
        const id = await stageOne(engine);
        await client.query(`UPDATE pgboss.job SET data = ${change}, start_after = now() WHERE id = $1`, [id]);
        const next = await stageOne(engine, { holdMs: 0 });
        const worker = await watch(engine);
        await untilState(engine, next, 'completed');
        expect(await untilState(engine, id, 'failed')).toMatchObject({
          error: { message: 'Expected the data of a job to be a task, got something else.' },
        });
        expect(worker.starts.map(({ envelope }) => envelope.id)).toEqual([next]);
        await worker.stop();
      }
    });

    it('of tasks that no worker has run are not deleted for their age', async () => {
      const engine = await started();
      const id = await stageOne(engine, { holdMs: 0 });
      const client = await connected();
      const { rows } = await client.query(
        "SELECT keep_until > now() + interval '50 years' AS kept FROM pgboss.job WHERE id = $1",
        [id],
      );
      expect(rows).toEqual([{ kept: true }]);
    });

    it('of tasks that have ended are deleted after as long as they are to be kept', async () => {
      const engine = await started({ keepCompletedSeconds: 11, keepFailedSeconds: 12 });
      await watch(engine, ({ envelope }) =>
        envelope.args[0] === 'fail' ? { kind: 'failed', error: new Error('no'), retry: false } : COMPLETED,
      );
      const completed = await stageOne(engine, { holdMs: 0 });
      const failed = await stageOne(engine, { holdMs: 0, args: ['fail'] });
      await untilState(engine, completed, 'completed');
      await untilState(engine, failed, 'failed');
      const client = await connected();
      const { rows } = await client.query(
        'SELECT deletion_seconds FROM pgboss.job WHERE id = ANY($1::uuid[]) ORDER BY 1',
        [[completed, failed]],
      );
      expect(rows).toEqual([{ deletion_seconds: 11 }, { deletion_seconds: 12 }]);
    });
  });

  describe('order', () => {
    it('is that in which tasks were staged, within a statement and a transaction, whatever the ids', async () => {
      const engine = await started();
      const client = await connected();
      const descending = (digit: string): StagedTask =>
        makeTask({ holdMs: 0, id: `${digit.repeat(8)}-0000-8000-8000-000000000000` });
      const calls = [['f', 'e', 'd'].map(descending), ['c', 'b'].map(descending), [descending('a')]];
      await client.query('BEGIN');
      for (const tasks of calls) await engine.stage(tasks, { transaction: client });
      await client.query('COMMIT');
      const worker = await watch(engine, undefined, 1);
      const ids = calls.flat().map(({ envelope }) => envelope.id);
      await worker.started(ids.at(-1) as string);
      expect(worker.starts.map(({ envelope }) => envelope.id)).toEqual(ids);
    });
  });
});
