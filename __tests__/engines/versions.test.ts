/** An engine starts with versions that it was tried with, and with no others. That of Postgres is tried in pg-boss-start.test.ts. */
import { describe, expect, it } from '@jest/globals';
import { bullmq } from 'express-background-tasks/bullmq';
import { atEnd } from '../support/cleanup.ts';
import { runScript } from '../support/scripts.ts';
import { startRedisOfVersion } from './support/old-redis.ts';
import { noPgBoss } from './support/pg-boss-node.ts';

const TIMEOUT = 20_000;
const host = { warn() {}, error() {} };

describe('bullmq()', () => {
  it.each(['2.8.24', '6.0.20', '6.1.241'])('does not start with Redis %s', async (version) => {
    const engine = bullmq({ connection: await startRedisOfVersion(version) });
    atEnd(() => engine.close());
    await expect(engine.start(host)).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_ENGINE',
      message: `Expected Redis 6.2 or later, or Valkey, got ${version}.`,
    });
  });

  it.each(['5.76.0', '6.3.4', '7.0.0'])(
    'does not start with bullmq %s',
    async (version) => {
      const connection = await startRedisOfVersion('7.2.4');
      expect(await startWith('bullmq', 'bullmq', 'bullmq', version, connection)).toBe(
        `ERR_BACKGROUND_ENGINE Expected bullmq 6.4 or a later 6, got ${version}: npm install bullmq@6.\n`,
      );
    },
    TIMEOUT,
  );
});

if (noPgBoss === undefined) {
  describe('pgBoss()', () => {
    it.each(['10.3.2', '11.0.0', '12.34.0', '13.0.0'])(
      'does not start with pg-boss %s',
      async (version) => {
        const connection = 'postgres://postgres@127.0.0.1:1/postgres';
        expect(await startWith('pg-boss', 'pgBoss', 'pg-boss', version, connection)).toBe(
          `ERR_BACKGROUND_ENGINE Expected pg-boss 12.35 or a later 12, got ${version}: npm install pg-boss@12.\n`,
        );
      },
      TIMEOUT,
    );
  });
} else {
  it.skip(`pgBoss() (not tried: ${noPgBoss})`, () => {});
}

function startWith(entry: string, name: string, packageName: string, version: string, connection: string) {
  return runScript(
    'engine-of-other-version.cjs',
    `express-background-tasks/${entry}`,
    name,
    packageName,
    version,
    connection,
  );
}
