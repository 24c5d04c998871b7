/** `with({ transaction })` as an application uses it: an order and its tasks are both there, or neither is. */
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from '@jest/globals';
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
import { missing } from './support/pg-boss-node.ts';
import { type PostgresServer, startPostgres } from './support/postgres-server.ts';

const TIMEOUT = 60_000;

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

if (missing !== '') {
  it.skip(`an order with tasks in its transaction (not tried: ${missing})`, () => {});
} else {
  describe('an order with tasks in its transaction', () => {
    let server: PostgresServer;
    let shops = 0;

    beforeAll(async () => {
      server = await startPostgres({ until: 'file' });
    }, TIMEOUT);

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
        expect(shop.answers.slice(0, 2)).toEqual(
          when === 'success' ? ['too-late', 'too-late'] : ['already', 'already'],
        );
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
}
