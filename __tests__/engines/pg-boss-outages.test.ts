/** What pgBoss() does while Postgres is down, is killed, takes no writes or does not answer, and after that. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from '@jest/globals';
import { pgBoss } from 'express-background-tasks/pg-boss';
import { Client, Pool } from 'pg';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilTimersComeNext } from '../support/time.ts';
import { COMPLETED } from './support/completed.ts';
import { host, start } from './support/pg-boss-engines.ts';
import { makeTask, stageOne } from './support/pg-boss-tasks.ts';
import { runOne, watch } from './support/pg-boss-workers.ts';
import { startPostgres } from './support/postgres-server.ts';
import { describeWithPostgres, TIMEOUT } from './support/shared-postgres.ts';
import { untilSoon, untilState } from './support/until-soon.ts';

expectNoProcessFaults();

describeWithPostgres('pgBoss() without Postgres', () => {
  it(
    'fails to start in bounded time, and starts when it is asked again',
    async () => {
      const server = await startPostgres();
      await server.stop();
      const engine = pgBoss({ connection: server.url });
      atEnd(() => engine.close());
      await expect(engine.start(host())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await server.start();
      await engine.start(host());
      expect(await engine.find(await stageOne(engine))).toMatchObject({ state: 'held' });
    },
    TIMEOUT,
  );

  it(
    'says which tasks run again that have ended, where it is closed before that could be written',
    async () => {
      const server = await startPostgres();
      const warnings: string[] = [];
      const engine = await start({ connection: server.url }, undefined, (message) => warnings.push(message));
      const { gate, worker, id } = await runOne(engine);
      await server.kill();
      const stopped = worker.stop();
      gate.open();
      await untilTimersComeNext();
      await engine.close();
      await stopped;
      expect(warnings).toEqual([
        `It has not confirmed in time that these tasks have ended: unless that was written all the same, they run again: ${id}.`,
      ]);
    },
    TIMEOUT,
  );

  it.each(['stop', 'kill'] as const)(
    'rejects at once when there is a %s, reports it once, and goes on when it is back',
    async (how) => {
      const server = await startPostgres();
      const told: Error[] = [];
      const engine = await start(
        { connection: server.url, superviseIntervalSeconds: 1, pollingIntervalSeconds: 0.1 },
        (error) => told.push(error),
      );
      const gate = makeGate();
      const worker = await watch(engine, async ({ envelope }) => {
        if (envelope.args[0] === 'wait') await gate.opened;
        return COMPLETED;
      });
      const held = await stageOne(engine);
      const underWay = await stageOne(engine, { holdMs: 0, args: ['wait'] });
      await worker.started(underWay);

      await server[how]();
      await expect(engine.stage([makeTask()], {})).rejects.toThrow();
      await expect(engine.release([held])).rejects.toThrow();
      // The task ends while its end cannot be written.
      gate.open();
      await untilRefused(server.port, 20);
      expect(told.length).toBeGreaterThan(0);
      expect(told.length).toBeLessThan(4);

      await server.start();
      await untilSoon('it can be reached', () => engine.stats().catch(() => undefined));
      expect(await engine.release([held])).toEqual(['released']);
      await untilState(engine, held, 'completed');
      await untilState(engine, underWay, 'completed');
      expect(worker.starts.map(({ envelope }) => envelope.id).sort()).toEqual([held, underWay].sort());
    },
    TIMEOUT,
  );

  it(
    'reports once that it is down, also where an adapter wraps what its driver says',
    async () => {
      const server = await startPostgres();
      const pool = new Pool({ connectionString: server.url });
      pool.on('error', () => {});
      atEnd(() => pool.end());
      let refused = 0;
      const executeSql = (text: string, values?: unknown[]) =>
        pool.query(text, values).catch((cause: Error) => {
          refused += 1;
          throw new Error(`Failed query: ${text}`, { cause });
        });
      const told: Error[] = [];
      const options = { heartbeatSeconds: 1, superviseIntervalSeconds: 1, pollingIntervalSeconds: 0.1 };
      const engine = await start({ connection: { executeSql }, ...options }, (error) => told.push(error));
      const { gate } = await runOne(engine);
      await server.kill();
      gate.open();
      await untilSoon('much is refused', () => refused > 30);
      expect(told).toHaveLength(1);
    },
    TIMEOUT,
  );

  it(
    'keeps what a task came to while Postgres took no writes, as one does whose disk is full or that has become a standby',
    async () => {
      const server = await startPostgres();
      const client = new Client({ connectionString: server.url });
      await client.connect();
      atEnd(() => client.end());
      const pool = new Pool({ connectionString: server.url });
      atEnd(() => pool.end());
      let refusedResults = 0;
      const executeSql = async (text: string, values?: unknown[]) => {
        try {
          return await pool.query(text, values);
        } catch (error) {
          if (String(values?.[0]).includes('"kind":"completed"')) refusedResults += 1;
          throw error;
        }
      };
      const engine = await start({ connection: { executeSql }, pollingIntervalSeconds: 0.1 });
      const { gate, id } = await runOne(engine);
      await client.query("ALTER SYSTEM SET default_transaction_read_only = 'on'");
      await client.query('SELECT pg_reload_conf()');
      await untilSoon('it takes no writes', () =>
        engine.stage([makeTask()], {}).then(
          () => false,
          () => true,
        ),
      );
      gate.open();
      await untilSoon('it is written again and again', () => refusedResults >= 3);
      await client.query('SET default_transaction_read_only = off');
      await client.query("ALTER SYSTEM SET default_transaction_read_only = 'off'");
      await client.query('SELECT pg_reload_conf()');
      expect(await untilState(engine, id, 'completed')).toMatchObject({ attempts: 1 });
    },
    TIMEOUT,
  );

  it(
    'keeps what it was given when Postgres is killed',
    async () => {
      const server = await startPostgres();
      const engine = await start({ connection: server.url });
      const ids: string[] = [];
      for (let count = 0; count < 20; count += 1) ids.push(await stageOne(engine));
      await server.kill();
      await server.start();
      await untilSoon('it can be reached', () => engine.stats().catch(() => undefined));
      expect(await engine.stats()).toMatchObject({ held: ids.length });
    },
    TIMEOUT,
  );

  it(
    'closes in bounded time, and logs nothing',
    async () => {
      const server = await startPostgres();
      const engine = await start({ connection: server.url });
      await watch(engine);
      await server.kill();
      await engine.close();
      await expect(engine.stats()).rejects.toThrow('it was closed');
    },
    TIMEOUT,
  );

  it('gives up on one that never answers', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    atEnd(() => silent.close());
    const { port } = silent.address() as { port: number };
    const connection = { host: '127.0.0.1', port, user: 'postgres', connectionTimeoutMillis: 100 };
    const engine = pgBoss({ connection });
    await expect(engine.start(host())).rejects.toThrow('timeout');
    await engine.close();
  });
});

/** Stands in for a server that is down: resolves when it has refused this many connections. */
async function untilRefused(port: number, count: number): Promise<void> {
  const enough = makeGate();
  let refused = 0;
  const nobody = createServer((socket) => {
    socket.on('error', () => {}).destroy();
    refused += 1;
    if (refused === count) enough.open();
  }).listen(port, '127.0.0.1');
  await enough.opened;
  nobody.close();
  await once(nobody, 'close');
}
