/** What pgBoss() takes and refuses, and what it needs to be installed. */
import { describe, expect, it } from '@jest/globals';
import { type PgBossOptions, pgBoss } from 'express-background-tasks/pg-boss';
import { Client } from 'pg';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { runScript } from '../support/scripts.ts';
import { UNREACHABLE } from './support/pg-boss-engines.ts';
import { noPgBoss } from './support/pg-boss-node.ts';

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
    ['a schema whose name Postgres keeps for itself', { connection: UNREACHABLE, schema: 'pg_jobs' }, /without pg_ /],
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
});
