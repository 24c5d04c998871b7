/** What is particular to pg-boss; what every engine must do is tested in conformance.test.ts. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type {
  DurableState,
  DurableTask,
  StagedTask,
  TaskEngine,
  TaskEnvelope,
  WorkContext,
  WorkResult,
} from 'express-background-tasks';
import { type PgBossOptions, pgBoss } from 'express-background-tasks/pg-boss';
import { Client, Pool, types } from 'pg';
import { atEnd } from '../support/cleanup.ts';
import { fixture } from '../support/fixtures.ts';
import { type Gate, makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { runScript } from '../support/scripts.ts';
import { work as someTime } from '../support/time.ts';
import { missing, noPgBoss } from './support/pg-boss-node.ts';
import { type PostgresServer, startPostgres } from './support/postgres-server.ts';

const TIMEOUT = 60_000;
const LONG_HOLD = 600_000;
const BETWEEN_LOOKS = 10;
const COMPLETED: WorkResult = { kind: 'completed', value: undefined };
const UNREACHABLE = 'postgres://postgres@127.0.0.1:1/postgres';

expectNoProcessFaults();

describe('pgBoss()', () => {
  it('says what to install if pg-boss is missing', async () => {
    expect(await runScript('pg-boss-without-peer.cjs')).toBe(
      'ERR_BACKGROUND_PEER Expected the package pg-boss to be installed, since express-background-tasks/pg-boss was imported: npm install pg-boss.\n',
    );
  });

  if (noPgBoss !== undefined) {
    it('says which Node it needs', () => {
      expect(() => pgBoss({ connection: UNREACHABLE })).toThrow(
        expect.objectContaining({
          code: 'ERR_BACKGROUND_PEER',
          message: `Expected Node 22.12 or later, since pg-boss 12 needs it, got ${process.versions.node}.`,
        }),
      );
    });
    return;
  }

  const cases: readonly (readonly [string, object, RegExp])[] = [
    [
      'no connection',
      {},
      /^Expected `connection` of pgBoss\(\) to be a URL .* got undefined: if it comes from an environment variable, set that\.$/,
    ],
    ['a URL of something else', { connection: 'redis://localhost' }, /^Expected `connection` .* got 'redis:/],
    [
      'a URL that is none',
      { connection: 'postgres://shop:a/b#c@localhost' },
      /percent-encoded, .* got 'postgres:\/\/…@/,
    ],
    ['a port that is none', { connection: 'postgres://localhost:99999/shop' }, /^Expected `connection` of pgBoss/],
    ['a single client of pg', { connection: new Client() }, /^Expected `connection` .* such a Pool/],
    [
      'an option with a typing error',
      { connection: UNREACHABLE, heartbeatSecond: 5 },
      /`heartbeatSecond` is not an option of pgBoss\(\)\. Did you mean `heartbeatSeconds`\?/,
    ],
    ['a schema that is no name', { connection: UNREACHABLE, schema: 'a"; --' }, /^Expected `schema` of pgBoss\(\)/],
    ['a queue that is no name', { connection: UNREACHABLE, queue: 'a b' }, /^Expected `queue` of pgBoss\(\)/],
    ['no time at all', { connection: UNREACHABLE, heartbeatSeconds: 0 }, /^Expected `heartbeatSeconds` of pgBoss\(\)/],
    [
      'more than a day between two looks',
      { connection: UNREACHABLE, pollingIntervalSeconds: 86_401 },
      /^Expected `pollingIntervalSeconds` of pgBoss\(\) to be a number of seconds from 0\.1 to 86400, got 86401/,
    ],
    [
      'a time that Postgres has no number for',
      { connection: UNREACHABLE, keepCompletedSeconds: 2 ** 31 },
      /^Expected `keepCompletedSeconds` of pgBoss\(\) to be an integer of seconds from 1 to 2147483647/,
    ],
    [
      'the same of failed tasks',
      { connection: UNREACHABLE, keepFailedSeconds: 2 ** 31 },
      /^Expected `keepFailedSeconds`/,
    ],
    ['a truth that is none', { connection: UNREACHABLE, migrate: 1 }, /^Expected `migrate` of pgBoss\(\)/],
  ];
  it.each(cases)('refuses %s at once', (_what, options, message) => {
    expect(() => pgBoss(options as PgBossOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_BACKGROUND_OPTION', message: expect.stringMatching(message) }),
    );
  });

  it.each([
    'postgres://localhost/shop',
    'postgresql://shop:a%2Fb@localhost:5432/shop?sslmode=require',
    'postgres:///shop?host=/var/run/postgresql',
    'postgres://shop@/shop?host=/var/run/postgresql',
    'postgres://shop:a%b c@%2Fvar%2Frun%2Fpostgresql/shop',
  ])('takes what pg takes for a URL: %s', (connection) => {
    expect(pgBoss({ connection }).name).toBe('pg-boss');
    expect(new Client(connection).database).toBe('shop');
  });

  it('takes an option that is undefined for one that was not given', () => {
    const undefinedOptions = { schema: undefined, queue: undefined } as unknown as Partial<PgBossOptions>;
    expect(pgBoss({ connection: UNREACHABLE, ...undefinedOptions }).name).toBe('pg-boss');
  });

  it('refuses a Postgres that is too old, before it makes anything there', async () => {
    const statements: string[] = [];
    const executeSql = async (text: string) => {
      statements.push(text);
      return { rows: [{ version: '120017' }] };
    };
    const engine = pgBoss({ connection: { executeSql } });
    await expect(engine.start(host())).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_ENGINE',
      message: 'Expected Postgres 13 or later, got 12.',
    });
    expect(statements).toHaveLength(1);
  });

  it('closes within bounds after a start that failed', async () => {
    const engine = pgBoss({ connection: UNREACHABLE });
    await expect(engine.start(host())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await engine.close();
    await expect(engine.start(host())).rejects.toThrow('it was closed');
  });
});

if (missing !== '') {
  it.skip(`pgBoss() on Postgres (not tried: ${missing})`, () => {});
} else {
  describe('pgBoss() on Postgres', () => {
    let server: PostgresServer;
    let stores = 0;

    beforeAll(async () => {
      server = await startPostgres({ until: 'file' });
    }, TIMEOUT);

    /** Options for a store that holds nothing yet. */
    function fresh(options: Partial<PgBossOptions> = {}): PgBossOptions {
      stores += 1;
      return { connection: server.url, queue: `queue-${stores}`, ...options };
    }

    const started = (options: Partial<PgBossOptions> = {}): Promise<TaskEngine> => start(fresh(options));

    async function connected(url = server.url): Promise<Client> {
      const client = new Client({ connectionString: url });
      // One that is killed on purpose says so.
      client.on('error', () => {});
      await client.connect();
      atEnd(() => client.end().catch(() => {}));
      return client;
    }

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

      it('may be nothing else', async () => {
        const engine = await started();
        await expect(engine.stage([makeTask()], { transaction: { password: 'hunter2' } })).rejects.toMatchObject({
          code: 'ERR_BACKGROUND_OPTION',
          message: 'Expected `transaction` to be a client of pg, or an object with executeSql(), got an object.',
        });
      });
    });

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

    describe('a result that Postgres refuses', () => {
      it.each<[string, (error: Error) => Error]>([
        ['as it is', (error) => error],
        ['wrapped by an adapter', wrapped],
      ])('is left out, and its task is kept as completed: the error comes %s', async (_how, thrown) => {
        const client = await connected();
        const executeSql = (text: string, values: unknown[] = []) =>
          String(values[0]).includes('unfit')
            ? Promise.reject(thrown(ofPostgres('22P05')))
            : client.query(text, values);
        const engine = await started({ connection: { executeSql }, pollingIntervalSeconds: 0.1 });
        const worker = await watch(engine, () => ({ kind: 'completed', value: 'unfit' }));
        const found = await untilState(engine, await stageOne(engine, { holdMs: 0 }), 'completed');
        expect(found.value).toBeUndefined();
        await worker.stop();
      });
    });

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
        const listener = `FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'`;
        await untilSoon(
          'a listener is there',
          async () => (await killer.query(`SELECT 1 ${listener}`)).rows.length > 0,
        );
        await killer.query(`SELECT pg_terminate_backend(pid) ${listener}`);
        await untilSoon('another is there', async () => (await killer.query(`SELECT 1 ${listener}`)).rows.length > 0);
        await worker.started(await stageOne(engine, { holdMs: 0 }));
      });
    });

    describe('the start', () => {
      it('fails without its tables if it may not create them', async () => {
        const engine = pgBoss(fresh({ schema: 'nobody_made_it', migrate: false }));
        atEnd(() => engine.close());
        await expect(engine.start(host())).rejects.toThrow('pg-boss');
        expect((await (await connected()).query("SELECT to_regnamespace('nobody_made_it') AS found")).rows).toEqual([
          { found: null },
        ]);
      });

      it('succeeds for many at once, on a database that has nothing yet', async () => {
        const options = fresh({ schema: 'made_by_many' });
        const engines = await Promise.all([1, 2, 3].map(() => start(options)));
        const id = await stageOne(engines[0] as TaskEngine);
        expect(await (engines[2] as TaskEngine).find(id)).toMatchObject({ state: 'held' });
      });

      it.each([
        ['as DateStyle SQL writes them', "SET datestyle = 'SQL, DMY'", {}],
        ['by a parser of the user', 'RESET datestyle', { types: { getTypeParser: readsNoTimes } }],
      ])('fails where pg does not read times as they are: %s', async (_how, setting, options) => {
        const role = `role_${randomUUID().slice(0, 8)}`;
        await (await connected()).query(`CREATE ROLE ${role} SUPERUSER LOGIN; ALTER ROLE ${role} ${setting}`);
        const place = { host: '127.0.0.1', port: server.port, database: 'postgres', user: role };
        const engine = pgBoss(fresh({ connection: { ...place, ...options } }));
        atEnd(() => engine.close());
        await expect(engine.start(host())).rejects.toMatchObject({
          code: 'ERR_BACKGROUND_ENGINE',
          message: expect.stringMatching(/^Expected pg to read a timestamptz .*`ALTER ROLE … SET datestyle = 'ISO'`/),
        });
      });

      it('warns of a database that cannot hold every character', async () => {
        await (await connected()).query("CREATE DATABASE narrow TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'");
        const warnings: string[] = [];
        const connection = server.url.replace(/postgres$/, 'narrow');
        const engine = await start(fresh({ connection }), undefined, (message) => warnings.push(message));
        expect(warnings).toEqual([expect.stringMatching(/^The database has the encoding LATIN1: .* with UTF8\.$/)]);
        await expect(engine.stage([makeTask({ args: ['😀'] })], {})).rejects.toMatchObject({ code: '22P05' });
      });

      it('refuses a queue in which jobs wait for each other', async () => {
        const options = fresh();
        await start(options);
        const client = await connected();
        await client.query("UPDATE pgboss.queue SET policy = 'singleton' WHERE name = $1", [options.queue]);
        const engine = pgBoss(options);
        atEnd(() => engine.close());
        await expect(engine.start(host())).rejects.toMatchObject({
          code: 'ERR_BACKGROUND_ENGINE',
          message: `Expected the queue ${options.queue} to have the policy standard, got singleton.`,
        });
      });
    });

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
        await client.query('UPDATE pgboss.job SET start_after = now() WHERE id = ANY($1::uuid[])', [
          [changed, ...rest],
        ]);
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

  describe('pgBoss() without Postgres', () => {
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
}

const host = (error: (error: Error) => void = () => {}, warn: (message: string) => void = () => {}) => ({
  warn,
  error,
});

async function start(
  options: PgBossOptions,
  onError?: (error: Error) => void,
  onWarning?: (message: string) => void,
): Promise<TaskEngine> {
  const engine = pgBoss(options);
  atEnd(() => engine.close());
  await engine.start(host(onError, onWarning));
  return engine;
}

/** An error with an SQLSTATE. */
function ofPostgres(code: string): Error {
  return Object.assign(new Error(`Postgres says ${code}`), { code });
}

/** As an adapter throws it, which may have codes of its own. */
function wrapped(cause: Error): Error {
  return Object.assign(new Error('the query failed', { cause }), { code: 'P2010' });
}

const TIMESTAMPTZ = types.builtins.TIMESTAMPTZ;

function readsNoTimes(type: number): (text: string) => unknown {
  return type === TIMESTAMPTZ ? (text) => ({ text }) : types.getTypeParser(type);
}

type Tasks = readonly StagedTask[];

function idsOf(tasks: Tasks): readonly string[] {
  return tasks.map(({ envelope }) => envelope.id);
}

interface TaskWish {
  readonly id?: string;
  readonly args?: readonly unknown[];
  readonly holdMs?: number;
  readonly retry?: Partial<StagedTask['retry']>;
}

function makeTask({ id = randomUUID(), args = [], holdMs = LONG_HOLD, retry }: TaskWish = {}): StagedTask {
  return {
    envelope: { v: 1, id, task: 'a.task', args },
    holdMs,
    priority: 0,
    retry: { attempts: 1, delay: 1, factor: 1, maxDelay: LONG_HOLD, jitter: 0, ...retry },
  };
}

/** A task that runs in a worker, and ends when the gate is opened. */
async function runOne(engine: TaskEngine): Promise<{ gate: Gate; worker: Watched; id: string }> {
  const gate = makeGate();
  const worker = await watch(engine, async () => {
    await gate.opened;
    return COMPLETED;
  });
  const id = await stageOne(engine, { holdMs: 0 });
  await worker.started(id);
  return { gate, worker, id };
}

async function stageOne(engine: TaskEngine, wish?: TaskWish): Promise<string> {
  const task = makeTask(wish);
  await engine.stage([task], {});
  return task.envelope.id;
}

interface Start {
  readonly envelope: TaskEnvelope;
  readonly context: WorkContext;
}

interface Watched {
  readonly starts: readonly Start[];
  started(id: string): Promise<unknown>;
  stop(): Promise<void>;
}

async function watch(
  engine: TaskEngine,
  behaviour: (start: Start) => WorkResult | Promise<WorkResult> = () => COMPLETED,
  concurrency = 5,
): Promise<Watched> {
  const starts: Start[] = [];
  const working = await engine.work(
    async (envelope, context) => {
      starts.push({ envelope, context });
      return behaviour({ envelope, context });
    },
    { concurrency },
  );
  return {
    starts,
    started: (id) => untilSoon('it was started', () => starts.some(({ envelope }) => envelope.id === id)),
    stop: () => working.stop(),
  };
}

function untilState(engine: TaskEngine, id: string, state: DurableState): Promise<DurableTask> {
  return untilSoon(`it is ${state}`, async () => {
    const found = await engine.find(id).catch(() => undefined);
    return found?.state === state ? found : undefined;
  });
}

/** A database does not notify a test of changes: the test has to ask. */
async function untilSoon<Found>(what: string, ask: () => Found | Promise<Found>): Promise<NonNullable<Found>> {
  const deadline = performance.now() + TIMEOUT / 3;
  for (;;) {
    const found = await ask();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`Waited in vain: ${what}.`);
    await someTime(BETWEEN_LOOKS);
  }
}

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

async function backendOf(client: Client): Promise<number> {
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
  return (rows[0] as { pid: number }).pid;
}
