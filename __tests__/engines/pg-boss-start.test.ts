/** What pgBoss() asks of Postgres when it starts, what it makes there, and when it does not start. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { TaskEngine } from 'express-background-tasks';
import { pgBoss } from 'express-background-tasks/pg-boss';
import { types } from 'pg';
import { atEnd } from '../support/cleanup.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { host, start, UNREACHABLE } from './support/pg-boss-engines.ts';
import { noPgBoss } from './support/pg-boss-node.ts';
import { makeTask, stageOne } from './support/pg-boss-tasks.ts';
import { watch } from './support/pg-boss-workers.ts';
import { describeWithPostgres, sharePostgres } from './support/shared-postgres.ts';

expectNoProcessFaults();

const { server, fresh, started, connected } = sharePostgres();

if (noPgBoss === undefined) {
  describe('pgBoss()', () => {
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
}

describeWithPostgres('pgBoss() on Postgres', () => {
  describe('the start', () => {
    it('fails without its tables if it may not create them', async () => {
      const engine = pgBoss(fresh({ schema: 'nobody_made_it', migrate: false }));
      atEnd(() => engine.close());
      await expect(engine.start(host())).rejects.toThrow('pg-boss');
      expect((await (await connected()).query("SELECT to_regnamespace('nobody_made_it') AS found")).rows).toEqual([
        { found: null },
      ]);
    });

    it('makes its tables in a schema of its role, which may make no schemas in the database', async () => {
      const [role, client] = [`role_${randomUUID().slice(0, 8)}`, await connected()];
      await client.query(`CREATE ROLE ${role} LOGIN; CREATE SCHEMA given AUTHORIZATION ${role}`);
      const connection = server.url.replace('postgres@', `${role}@`);
      const engine = await start(fresh({ connection, schema: 'given' }));
      expect(await engine.find(await stageOne(engine))).toMatchObject({ state: 'held' });

      const other = pgBoss(fresh({ connection, schema: 'not_given' }));
      atEnd(() => other.close());
      await expect(other.start(host())).rejects.toMatchObject({
        code: 'ERR_BACKGROUND_ENGINE',
        message:
          'Expected the schema "not_given" to be there, or a role that may make it: permission denied for database postgres. Run `CREATE SCHEMA "not_given" AUTHORIZATION` with the name of the role.',
      });
    });

    it('that fails says why by that alone, however often it is tried, as on a standby that takes no writes', async () => {
      await started();
      const told: Error[] = [];
      const options = '-c default_transaction_read_only=on';
      const place = { host: '127.0.0.1', port: server.port, database: 'postgres', user: 'postgres' };
      const engine = pgBoss(fresh({ connection: { ...place, options } }));
      atEnd(() => engine.close());
      for (let tries = 1; tries <= 2; tries += 1) {
        await expect(engine.start(host((error) => told.push(error)))).rejects.toThrow(/read-only transaction/);
      }
      expect(told).toEqual([]);
    });

    it('takes a word of SQL for the name of a schema, and one name however it is written', async () => {
      const options = fresh({ schema: 'user' });
      const [engine, other] = [await start(options), await start({ ...options, schema: 'User' })];
      const worker = await watch(other);
      await worker.started(await stageOne(engine, { holdMs: 0 }));
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
});

const TIMESTAMPTZ = types.builtins.TIMESTAMPTZ;

function readsNoTimes(type: number): (text: string) => unknown {
  return type === TIMESTAMPTZ ? (text) => ({ text }) : types.getTypeParser(type);
}
