/** How few statements pgBoss() needs, and what it does where Postgres gives one up or refuses it. */
import { describe, expect, it } from '@jest/globals';
import type { StagedTask } from 'express-background-tasks';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { start } from './support/pg-boss-engines.ts';
import { idsOf, makeTask, stageOne, type Tasks } from './support/pg-boss-tasks.ts';
import { watch } from './support/pg-boss-workers.ts';
import { describeWithPostgres, sharePostgres } from './support/shared-postgres.ts';
import { untilSoon, untilState } from './support/until-soon.ts';

expectNoProcessFaults();

const HELD = 600_000;

const { fresh, started, connected } = sharePostgres();

describeWithPostgres('pgBoss() on Postgres', () => {
  describe('the tasks of a response', () => {
    it('are staged, released and discarded by one statement each', async () => {
      const client = await connected();
      const parameters: string[] = [];
      const executeSql = (text: string, values: unknown[] = []) => {
        parameters.push(JSON.stringify(values));
        return client.query(text, values);
      };
      const engine = await started({ connection: { executeSql } });
      const twenty = (): Tasks => Array.from({ length: 20 }, () => makeTask());
      const [wanted, unwanted] = [twenty(), twenty()];
      const statementsOn = (tasks: Tasks): number =>
        parameters.filter((text) => idsOf(tasks).some((id) => text.includes(id))).length;

      await engine.stage([...wanted, ...unwanted], {});
      expect([statementsOn(wanted), statementsOn(unwanted)]).toEqual([1, 1]);
      expect(await engine.release(idsOf(wanted))).toEqual(wanted.map(() => 'released'));
      expect(await engine.discard(idsOf(unwanted))).toEqual(unwanted.map(() => 'discarded'));
      expect([statementsOn(wanted), statementsOn(unwanted)]).toEqual([2, 2]);
      expect(await engine.stats()).toMatchObject({ held: 0, waiting: wanted.length });
    });
  });

  describe('the counts of tasks', () => {
    it('are answered without reading what the tasks were given', async () => {
      const client = await connected();
      const sent: [text: string, values: unknown[]][] = [];
      const executeSql = (text: string, values: unknown[] = []) => {
        sent.push([text, values]);
        return client.query(text, values);
      };
      const engine = await started({ connection: { executeSql } });
      const large = (holdMs: number): StagedTask => makeTask({ args: ['x'.repeat(1_000)], holdMs });
      await engine.stage(
        [...Array.from({ length: 300 }, () => large(0)), ...Array.from({ length: 200 }, () => large(HELD))],
        {},
      );
      // Postgres notes which pages it need not read once nobody has an older view of them.
      await untilSoon('it reads few pages', async () => {
        await client.query('VACUUM ANALYZE pgboss.job');
        sent.length = 0;
        expect(await engine.stats()).toEqual({ held: 200, waiting: 300, running: 0, failed: 0 });
        const [text, values] = sent[0] as (typeof sent)[number];
        const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
        const { Plan: plan } = rows[0]['QUERY PLAN'][0];
        const { rows: sizes } = await client.query(
          "SELECT sum(relpages)::int AS pages FROM pg_class WHERE relkind = 'r' AND relname LIKE 'job%'",
        );
        return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'] < sizes[0].pages / 2;
      });
    });
  });

  describe('a statement that Postgres gives up for the sake of another', () => {
    it.each<[string, Error]>([
      ['40001', ofPostgres('40001')],
      ['40P01', ofPostgres('40P01')],
      ['40001, wrapped by an adapter', wrapped(ofPostgres('40001'))],
    ])('is sent again: it has done nothing (%s)', async (_code, conflict) => {
      const client = await connected();
      let givenUp = 0;
      let isFirst = false;
      const executeSql = (text: string, values: unknown[] = []) => {
        if (!isFirst) return client.query(text, values);
        isFirst = false;
        givenUp += 1;
        return Promise.reject(conflict);
      };
      const engine = await started({ connection: { executeSql } });
      const [wanted, unwanted] = [makeTask(), makeTask()];
      const calls: readonly (() => Promise<unknown>)[] = [
        () => engine.stage([wanted, unwanted], {}),
        () => engine.release(idsOf([wanted])),
        () => engine.discard(idsOf([unwanted])),
        () => engine.find(wanted.envelope.id),
        () => engine.stats(),
      ];
      const answers: unknown[] = [];
      for (const call of calls) {
        isFirst = true;
        answers.push(await call());
      }
      expect(givenUp).toBe(calls.length);
      expect(answers).toEqual([
        undefined,
        ['released'],
        ['discarded'],
        expect.objectContaining({ state: 'waiting' }),
        expect.objectContaining({ held: 0, waiting: 1 }),
      ]);
    });

    it('is given up for good where that goes on, each time after a wait', async () => {
      const client = await connected();
      let mayRun = true;
      const refusedAt: number[] = [];
      const executeSql = (text: string, values: unknown[] = []) => {
        if (mayRun) return client.query(text, values);
        refusedAt.push(performance.now());
        return Promise.reject(ofPostgres('40P01'));
      };
      const engine = await started({ connection: { executeSql } });
      const id = await stageOne(engine);
      mayRun = false;
      await expect(engine.release([id])).rejects.toMatchObject({ code: '40P01' });
      mayRun = true;
      expect(refusedAt).toHaveLength(5);
      const [first = 0, , , , last = 0] = refusedAt;
      expect(last - first).toBeGreaterThan(150);
    });

    it('is not sent again in a transaction of the user, which has failed as a whole', async () => {
      const engine = await started();
      let calls = 0;
      const executeSql = () => {
        calls += 1;
        return Promise.reject(ofPostgres('40001'));
      };
      const staged = engine.stage([makeTask()], { transaction: { executeSql } });
      await expect(staged).rejects.toMatchObject({ code: '40001' });
      expect(calls).toBe(1);
    });

    it('is sent again where it writes what a task came to, and nothing is logged', async () => {
      const client = await connected();
      const errors: Error[] = [];
      let isFirst = true;
      const executeSql = (text: string, values: unknown[] = []) => {
        if (!isFirst || !String(values[0]).includes('"kind":"completed"')) return client.query(text, values);
        isFirst = false;
        return Promise.reject(ofPostgres('40001'));
      };
      const options = fresh({ connection: { executeSql }, pollingIntervalSeconds: 0.1 });
      const engine = await start(options, (error) => errors.push(error));
      const worker = await watch(engine);
      await untilState(engine, await stageOne(engine, { holdMs: 0 }), 'completed');
      await worker.stop();
      expect([isFirst, errors]).toEqual([false, []]);
    });
  });

  describe('a statement whose connection is lost', () => {
    it.each<[string, Error]>([
      ['Postgres has ended it', ofPostgres('57P01')],
      ['Postgres has ended it for having been idle', ofPostgres('57P05')],
      ['the network has', ofSystem('read ECONNRESET')],
      ['the network had before', ofSystem('write EPIPE')],
      ['nobody says why', new Error('Connection terminated unexpectedly')],
      ['an adapter says so', wrapped(ofPostgres('57P01'))],
    ])('is sent again where it may run twice, whether it was run or not: %s', async (_why, lost) => {
      const client = await connected();
      const given: string[] = [];
      let losesNext: 'nothing' | 'the statement' | 'the answer' = 'nothing';
      const executeSql = async (text: string, values: unknown[] = []) => {
        const loses = losesNext;
        losesNext = 'nothing';
        given.push(loses);
        if (loses === 'the statement') throw lost;
        const answer = await client.query(text, values);
        if (loses === 'the answer') throw lost;
        return answer;
      };
      const engine = await started({ connection: { executeSql } });
      const [first, second] = [makeTask(), makeTask()];
      losesNext = 'the statement';
      await engine.stage([first], {});
      losesNext = 'the answer';
      await engine.stage([second], {});
      losesNext = 'the answer';
      expect(await engine.find(second.envelope.id)).toMatchObject({ state: 'held' });
      losesNext = 'the answer';
      expect(await engine.stats()).toMatchObject({ held: 2 });
      losesNext = 'the answer';
      await expect(engine.discard(idsOf([first]))).rejects.toBe(lost);
      expect(given.filter((loses) => loses !== 'nothing')).toHaveLength(5);
    });

    it('is told of once, whatever is said when it is made again in vain', async () => {
      const client = await connected();
      const [lost, refused] = [ofSystem('write EPIPE'), ofSystem('connect ECONNREFUSED')];
      let errors: Error[] | undefined;
      let refusals = 0;
      const executeSql = (text: string, values: unknown[] = []) => {
        if (errors === undefined) return client.query(text, values);
        refusals += 1;
        return Promise.reject(errors.shift() ?? refused);
      };
      const told: Error[] = [];
      const options = fresh({ connection: { executeSql }, pollingIntervalSeconds: 0.1 });
      await watch(await start(options, (error) => told.push(error)));
      errors = [lost];
      await untilSoon('it is made again in vain', () => refusals > 3);
      expect(told).toEqual([lost]);
    });
  });

  describe('a result that Postgres refuses', () => {
    it.each<[string, (error: Error) => Error]>([
      ['as it is', (error) => error],
      ['wrapped by an adapter', wrapped],
    ])('is left out, and its task is kept as completed: the error comes %s', async (_how, thrown) => {
      const client = await connected();
      const executeSql = (text: string, values: unknown[] = []) =>
        String(values[0]).includes('unfit') ? Promise.reject(thrown(ofPostgres('22P05'))) : client.query(text, values);
      const engine = await started({ connection: { executeSql }, pollingIntervalSeconds: 0.1 });
      const worker = await watch(engine, () => ({ kind: 'completed', value: 'unfit' }));
      const found = await untilState(engine, await stageOne(engine, { holdMs: 0 }), 'completed');
      expect(found.value).toBeUndefined();
      await worker.stop();
    });
  });
});

/** An error with an SQLSTATE. */
function ofPostgres(code: string): Error {
  return Object.assign(new Error(`Postgres says ${code}`), { code });
}

/** An error of the operating system, as Node makes it. */
function ofSystem(message: string): Error {
  return Object.assign(new Error(message), { code: message.split(' ')[1] });
}

/** As an adapter throws it, which may have codes of its own. */
function wrapped(cause: Error): Error {
  return Object.assign(new Error('the query failed', { cause }), { code: 'P2010' });
}
