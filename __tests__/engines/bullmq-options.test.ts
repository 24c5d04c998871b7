/** What bullmq() takes and refuses, and what it says of that. */
import { describe, expect, it } from '@jest/globals';
import { BackgroundTaskError } from 'express-background-tasks';
import { bullmq } from 'express-background-tasks/bullmq';
import { Redis } from 'ioredis';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import type { BullMQOptions } from './support/bullmq-engines.ts';

expectNoProcessFaults();

const connection = 'redis://127.0.0.1:1';

function refusalOf(options: unknown): string {
  try {
    bullmq(options as BullMQOptions);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(BackgroundTaskError);
    expect((thrown as BackgroundTaskError).code).toBe('ERR_BACKGROUND_OPTION');
    return (thrown as BackgroundTaskError).message;
  }
  throw new Error('expected a refusal');
}

describe('options', () => {
  it('names what was meant by an unknown one', () => {
    expect(refusalOf({ connection, lockDuratoin: 1_000 })).toMatch(/Did you mean `lockDuration`\?/);
    expect(refusalOf({ connection, keepFailed: { ages: 1 } })).toMatch(/Did you mean `keepFailed.age`\?/);
  });

  it('says what a number may be, whichever limit it is beyond', () => {
    for (const lockDuration of [99, 3e9]) {
      expect(refusalOf({ connection, lockDuration })).toMatch(
        `a number of milliseconds from 100 to 2147483647, got ${lockDuration}`,
      );
    }
  });

  it('says of a connection that is not set where to look', () => {
    const { NOT_SET_ANYWHERE } = process.env;
    expect(() => bullmq({ connection: NOT_SET_ANYWHERE })).toThrow(
      /got undefined: if it comes from an environment variable, set that\.$/,
    );
  });

  it.each([
    ['connection', [undefined, '', 'localhost:6379', 'http://localhost', 6379, null, true, [], new URL(connection)]],
    ['queue', ['', 'a:b', 1, null]],
    ['prefix', ['', 1, null]],
    ['lockDuration', [0, 99, Number.NaN, '1000', 2 ** 31, null]],
    ['stalledInterval', [0, -1, Number.POSITIVE_INFINITY, '1000', null]],
    ['maxStalledCount', [-1, 1.5, '1', null]],
    ['keepCompleted', [1, true, null, []]],
    ['keepFailed', [1, true, null, []]],
  ])('refuses a wrong %s', (name, values) => {
    for (const value of values) {
      expect(refusalOf({ connection, [name]: value })).toMatch(
        new RegExp(`Expected \`${name}\` of bullmq\\(\\) to be `),
      );
    }
  });

  it.each([
    'valkey://user:hunter2@localhost',
    'redis:/user:hunter2@localhost',
    'user:hunter2@localhost:6379',
    'redis://user:hunter2/or#hunter2@localhost',
    'redis://user:100%hunter2@localhost',
    'redis://user:hunter2@localhost:99999',
    `http://user:hunter2${'x'.repeat(200)}@localhost`,
    new URL('redis://user:hunter2@localhost'),
    [{ password: 'hunter2', sentinelPassword: 'hunter2' }],
  ])('shows no password of a connection that it refuses: %s', (value) => {
    for (const options of [{ connection: value }, { connection: [value] }, String(value)])
      expect(refusalOf(options)).not.toMatch(/hunter2/);
  });

  it('takes a URL whose password has special characters, if they are encoded', () => {
    const password = encodeURIComponent('a/b#c%d@e f');
    expect(bullmq({ connection: `redis://user:${password}@localhost/2` }).name).toBe('bullmq');
  });

  it.each<[string, string | object]>([
    ['the path of a URL', `${connection}/shop`],
    ['the query of a URL', `${connection}?db=shop`],
    ['a URL in options', { url: `${connection}/shop` }],
    ['a URL beside an option, which it precedes', { url: `${connection}/shop`, db: 3 }],
    ['options', { db: 'shop' }],
    ['a client', new Redis(`${connection}/shop`, { lazyConnect: true })],
  ])('refuses a database that is no number, given by %s: ioredis would end the process', (_where, value) => {
    expect(refusalOf({ connection: value })).toMatch(
      /^Expected `connection` of bullmq\(\) to name a database by its number/,
    );
  });

  it.each<[string, string | object]>([
    ['the query of a URL', `${connection}?connectTimeout=5s`],
    ['the query of a URL, below nothing', `${connection}?connectTimeout=-1`],
    ['options', { connectTimeout: '5000' }],
    ['a client', new Redis({ connectTimeout: '5000', lazyConnect: true } as object)],
  ])('refuses a connectTimeout that is no time, given by %s: ioredis would end the process', (_where, value) => {
    expect(refusalOf({ connection: value })).toMatch(
      /^Expected `connection` of bullmq\(\) to have milliseconds, or nothing, as its `connectTimeout`/,
    );
  });

  it('refuses a call without options', () => {
    expect(refusalOf(undefined)).toMatch(/Expected the options of bullmq\(\) to be an object/);
  });

  it.each([
    ['a URL', 'postgres://localhost/tasks'],
    ['options', { connectionString: 'postgresql://localhost/tasks' }],
    ['a pool of pg', { query: () => {}, connect: () => {} }],
    ['a backend of BullMQ', function createPostgresBackend() {}],
  ])('refuses Postgres, given as %s, and says what is for it', (_what, value) => {
    expect(refusalOf({ connection: value })).toMatch(/may run a task twice.*express-background-tasks\/pg-boss/);
  });

  it('refuses a client that BullMQ or the engine cannot work with', () => {
    expect(refusalOf({ connection: { keyPrefix: 'shop:' } })).toMatch(/no `keyPrefix`.*use `prefix` of bullmq\(\)/);
    const prefixed = new Redis({ lazyConnect: true, keyPrefix: 'shop:' });
    expect(refusalOf({ connection: prefixed })).toMatch(/no `keyPrefix`/);
    expect(refusalOf({ connection: `${connection}?keyPrefix=shop:` })).toMatch(/no `keyPrefix`/);
    expect(refusalOf({ connection: { url: `${connection}?keyPrefix=shop:` } })).toMatch(/no `keyPrefix`/);
    expect(refusalOf({ connection: { isCluster: true, duplicate() {} } })).toMatch(/got a Redis Cluster/);
    expect(refusalOf({ connection: { sendCommand() {}, duplicate() {} } })).toMatch(/client of ioredis/);
  });
});
