/** Transactions of the user: an order and its tasks are both there, or neither is; and what the engine takes for one. */
import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import {
  type BackgroundTasksOptions,
  backgroundTasks,
  type DurableBackgroundTasks,
  type TaskEngine,
  type TaskHandle,
} from 'express-background-tasks';
import { pgBoss } from 'express-background-tasks/pg-boss';
import { type Client, Pool } from 'pg';
import { atEnd } from '../support/cleanup.ts';
import { getText, RawClient, request } from '../support/clients.ts';
import { tasks, until } from '../support/durable-app.ts';
import { makeGate } from '../support/gates.ts';
import { type LogBook, openLogBook } from '../support/log-book.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { type Framework, frameworks, serve, type TaskedResponse } from '../support/servers.ts';
import { start } from './support/pg-boss-engines.ts';
import { makeTask, stageOne } from './support/pg-boss-tasks.ts';
import { watch } from './support/pg-boss-workers.ts';
import { describeWithPostgres, sharePostgres } from './support/shared-postgres.ts';
import { untilSoon } from './support/until-soon.ts';

type When = NonNullable<BackgroundTasksOptions['when']>;

interface Shop {
  readonly background: DurableBackgroundTasks;
  readonly log: LogBook;
  readonly port: number;
  /** The result of each release and each discard of a task. */
  readonly answers: readonly string[];
  orders(): Promise<number>;
  /** Of the tasks, as the engine has them. */
  states(): Promise<unknown[]>;
}

/** The same engine; its answers about holds are recorded. */
function overheard(engine: TaskEngine, answers: string[]): TaskEngine {
  return new Proxy(engine, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name !== 'release' && name !== 'discard') return value.bind(target);
      return async (ids: readonly string[]) => {
        const said = await target[name](ids);
        answers.push(...said);
        return said;
      };
    },
  });
}

expectNoProcessFaults();

const { server, fresh, started, connected } = sharePostgres();

describeWithPostgres('an order with tasks in its transaction', () => {
  let shops = 0;

  /** @param finish ends the transaction of an order whose tasks are staged, and answers. */
  async function openShop(
    finish: (client: Client, res: TaskedResponse) => Promise<unknown>,
    when: When = 'always',
  ): Promise<Shop> {
    shops += 1;
    const orders = `orders_${shops}`;
    const pool = new Pool({ connectionString: server.url });
    atEnd(() => pool.end());
    await pool.query(`CREATE TABLE ${orders} (item text)`);
    const log = openLogBook();
    const answers: string[] = [];
    const engine = pgBoss({ connection: server.url, queue: `shop-${shops}` });
    const background = backgroundTasks({ engine: overheard(engine, answers), logger: log.logger, when });
    atEnd(() => background.close({ timeout: 0 }));
    await background.ready();
    const handles: TaskHandle[] = [];
    const framework = frameworks[0] as Framework;
    const port = await serve(
      framework.listener([background], async (_req, res) => {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          await client.query(`INSERT INTO ${orders} VALUES ('a book')`);
          const list = res.locals.backgroundTasks.with({ transaction: client });
          const added = [list.add(tasks.echo, 'invoice'), list.add(tasks.echo, 'parcel')];
          await Promise.all(added.map(({ accepted }) => accepted));
          handles.push(...added);
          await finish(client as unknown as Client, res);
        } finally {
          client.release();
        }
      }),
    );
    return {
      background,
      log,
      port,
      answers,
      orders: async () => Number((await pool.query(`SELECT count(*) AS count FROM ${orders}`)).rows[0].count),
      states: () => Promise.all(handles.map(async ({ id }) => (await engine.find(id))?.state)),
    };
  }

  const warnings = ({ log }: Shop) => log.lines.filter(({ level }) => level !== 'debug' && level !== 'info');

  it('is there with them when it was committed', async () => {
    const shop = await openShop(async (client, res) => {
      await client.query('COMMIT');
      res.end();
    });
    expect((await request(shop.port)).status).toBe(200);
    await shop.background.idle();
    expect([await shop.orders(), await shop.states()]).toEqual([1, ['waiting', 'waiting']]);
    expect(warnings(shop)).toEqual([]);
  });

  it('is not there, and nor are they, when it was rolled back', async () => {
    const shop = await openShop(async (client, res) => {
      await client.query('ROLLBACK');
      res.statusCode = 500;
      res.end();
    }, 'success');
    expect((await request(shop.port)).status).toBe(500);
    await shop.background.idle();
    expect([await shop.orders(), await shop.states()]).toEqual([0, [undefined, undefined]]);
    await shop.background.close();
    expect(warnings(shop)).toEqual([]);
  });

  it.each<[string, When, unknown]>([
    ['without tasks that run after a success only', 'success', undefined],
    ['with tasks that run in any case, and at once', 'always', 'waiting'],
  ])('is there %s, when the client hung up before the commit', async (_what, when, state) => {
    const isStaged = makeGate();
    const hasCommitted = makeGate();
    const shop = await openShop(async (client, res) => {
      isStaged.open();
      if (!res.closed) await once(res, 'close');
      // The engine was called before there is anything to be found.
      await until(
        async () => shop.answers,
        ({ length }) => length >= 2,
      );
      expect(shop.answers.slice(0, 2)).toEqual(when === 'success' ? ['too-late', 'too-late'] : ['already', 'already']);
      await client.query('COMMIT');
      hasCommitted.open();
    }, when);
    const client = await RawClient.connect(shop.port);
    client.send(getText());
    await isStaged.opened;
    expect(await shop.states()).toEqual([undefined, undefined]);
    client.socket.destroy();
    await hasCommitted.opened;
    await until(shop.states, (states) => states.every((one) => one === state));
    expect(await shop.orders()).toBe(1);
    expect(warnings(shop)).toEqual([]);
  });
});

describeWithPostgres('pgBoss() on Postgres', () => {
  describe('transactions', () => {
    it('keep a task if they are committed, with whatever else they did', async () => {
      const engine = await started();
      const client = await connected();
      const task = makeTask();
      await client.query('CREATE TEMPORARY TABLE orders (id int)');
      await client.query('BEGIN');
      await client.query('INSERT INTO orders VALUES (1)');
      await engine.stage([task], { transaction: client });
      expect(await engine.find(task.envelope.id)).toBeUndefined();
      await client.query('COMMIT');
      expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'held' });
    });

    it('keep none if they are rolled back', async () => {
      const engine = await started();
      const client = await connected();
      const tasks = [makeTask(), makeTask()];
      await client.query('BEGIN');
      await engine.stage(tasks, { transaction: client });
      await client.query('ROLLBACK');
      for (const { envelope } of tasks) expect(await engine.find(envelope.id)).toBeUndefined();
    });

    it('keep none if their client dies', async () => {
      const engine = await started();
      const client = await connected();
      const killer = await connected();
      const task = makeTask();
      await client.query('BEGIN');
      await engine.stage([task], { transaction: client });
      const pid = await backendOf(client);
      await killer.query('SELECT pg_terminate_backend($1)', [pid]);
      await untilSoon('the backend is gone', async () => {
        const { rows } = await killer.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid]);
        return rows.length === 0;
      });
      expect(await engine.find(task.envelope.id)).toBeUndefined();
    });

    it('wake a worker when they are committed', async () => {
      const engine = await started({ pollingIntervalSeconds: 600 });
      const client = await connected();
      const worker = await watch(engine);
      const first = await stageOne(engine, { holdMs: 0 });
      await worker.started(first);
      const task = makeTask({ holdMs: 0 });
      await client.query('BEGIN');
      await engine.stage([task], { transaction: client });
      await client.query('COMMIT');
      await worker.started(task.envelope.id);
    });

    it.each<[string, (client: Client, stage: () => Promise<void>) => Promise<unknown>]>([
      ['none was begun', (_client, stage) => stage()],
      [
        'it was ended before the statement was sent',
        async (client, stage) => {
          await client.query('BEGIN');
          await Promise.all([client.query('ROLLBACK'), stage()]);
        },
      ],
    ])('are missed where %s, and a warning says so', async (_how, run) => {
      const warnings: string[] = [];
      const engine = await start(fresh(), undefined, (message) => warnings.push(message));
      const [client, task] = [await connected(), makeTask()];
      await run(client, () => engine.stage([task], { transaction: client }));
      expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'held' });
      expect(warnings).toEqual([
        expect.stringMatching(
          /^Expected the client that was given as `transaction` for a\.task to be in one, but it was in none: /,
        ),
      ]);
      await client.query('BEGIN');
      await engine.stage([makeTask()], { transaction: client });
      await client.query('COMMIT');
      expect(warnings).toHaveLength(1);
    });

    it('may be an object with executeSql', async () => {
      const engine = await started();
      const client = await connected();
      const executeSql = (text: string, values?: unknown[]) => client.query(text, values);
      const task = makeTask();
      await client.query('BEGIN');
      await engine.stage([task], { transaction: { executeSql } });
      await client.query('COMMIT');
      expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'held' });
    });

    it.each<[which: string, make: (pool: Pool) => object, kind: RegExp]>([
      ['a pool', (pool) => pool, /^Expected `transaction` to be a client of pg, .* got an object of class .*Pool\.$/],
      ['one behind a proxy that makes it on demand', madeOnDemand, /^Expected `transaction` to be a client of pg, /],
    ])('may not be %s, whose statements are in no transaction', async (_which, make, message) => {
      const engine = await started();
      const pool = new Pool({ connectionString: server.url });
      atEnd(() => pool.end());
      const task = makeTask();
      await expect(engine.stage([task], { transaction: make(pool) })).rejects.toMatchObject({
        code: 'ERR_BACKGROUND_OPTION',
        message: expect.stringMatching(message),
      });
      expect(await engine.find(task.envelope.id)).toBeUndefined();
    });

    it('may be nothing else', async () => {
      const engine = await started();
      await expect(engine.stage([makeTask()], { transaction: { password: 'hunter2' } })).rejects.toMatchObject({
        code: 'ERR_BACKGROUND_OPTION',
        message: 'Expected `transaction` to be a client of pg, or an object with executeSql(), got an object.',
      });
    });
  });
});

async function backendOf(client: Client): Promise<number> {
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
  return (rows[0] as { pid: number }).pid;
}

/** As modules do that must not connect while they are loaded. */
function madeOnDemand(pool: Pool): object {
  const get = (_target: object, name: keyof Pool): unknown => {
    const value: unknown = pool[name];
    return typeof value === 'function' ? value.bind(pool) : value;
  };
  return new Proxy({}, { get } as ProxyHandler<object>);
}
