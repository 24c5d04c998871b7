/** The connections that pgBoss() can be given, and that by which it listens. */
import { describe, expect, it } from '@jest/globals';
import { Pool } from 'pg';
import { atEnd } from '../support/cleanup.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { start } from './support/pg-boss-engines.ts';
import { stageOne } from './support/pg-boss-tasks.ts';
import { watch } from './support/pg-boss-workers.ts';
import { describeWithPostgres, sharePostgres } from './support/shared-postgres.ts';
import { untilSoon } from './support/until-soon.ts';

expectNoProcessFaults();

const { server, fresh, started, connected } = sharePostgres();

describeWithPostgres('pgBoss() on Postgres', () => {
  describe('connections', () => {
    it('may be a pool of the user, which stays open', async () => {
      const pool = new Pool({ connectionString: server.url });
      atEnd(() => pool.end());
      const listeners = pool.listenerCount('error');
      const engine = await started({ connection: pool, pollingIntervalSeconds: 600 });
      const worker = await watch(engine);
      await worker.started(await stageOne(engine, { holdMs: 0 }));
      const held = await stageOne(engine);
      await engine.release([held]);
      await worker.started(held);
      await engine.close();
      expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      expect(pool.listenerCount('error')).toBe(listeners);
      await untilSoon('all clients are back', () => pool.idleCount === pool.totalCount);
    });

    it('that were lost during a start which succeeded are reported after it, and so are those that are lost later', async () => {
      const pool = new Pool({ connectionString: server.url });
      atEnd(() => pool.end());
      const errors = ['Connection terminated unexpectedly', 'read ECONNRESET'].map((message) => new Error(message));
      const [early, late] = errors;
      pool.once('acquire', () => pool.emit('error', early));
      const told: Error[] = [];
      await start(fresh({ connection: pool }), (error) => told.push(error));
      pool.emit('error', late);
      expect(told).toEqual(errors);
    });

    it('may be a pool of one client: workers poll for tasks then', async () => {
      const pool = new Pool({ connectionString: server.url, max: 1 });
      atEnd(() => pool.end());
      const engine = await started({ connection: pool, pollingIntervalSeconds: 0.1 });
      const worker = await watch(engine);
      await worker.started(await stageOne(engine, { holdMs: 0 }));
    });

    it('may be the options of a pool', async () => {
      const { hostname: host_, port } = new URL(server.url);
      const engine = await started({ connection: { host: host_, port: Number(port), user: 'postgres', max: 2 } });
      expect(await engine.find(await stageOne(engine))).toMatchObject({ state: 'held' });
    });

    it('may be an object that executes statements', async () => {
      const client = await connected();
      const executeSql = (text: string, values?: unknown[]) => client.query(text, values);
      const engine = await started({ connection: { executeSql }, pollingIntervalSeconds: 0.1 });
      const worker = await watch(engine);
      await worker.started(await stageOne(engine, { holdMs: 0 }));
    });

    it('listen again when a pool has lost the listening client', async () => {
      const pool = new Pool({ connectionString: server.url });
      atEnd(() => pool.end());
      const engine = await started({ connection: pool, pollingIntervalSeconds: 600 });
      const worker = await watch(engine);
      await worker.started(await stageOne(engine, { holdMs: 0 }));
      const killer = await connected();
      const listeners = async (): Promise<number[]> => {
        const { rows } = await killer.query(
          `SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'`,
        );
        return rows.map(({ pid }) => pid as number);
      };
      await untilSoon('a listener is there', async () => (await listeners()).length > 0);
      const [first] = await listeners();
      await killer.query('SELECT pg_terminate_backend($1)', [first]);
      await untilSoon('another is there', async () => (await listeners()).some((pid) => pid !== first));
      await worker.started(await stageOne(engine, { holdMs: 0 }));
    });
  });
});
