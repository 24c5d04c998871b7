/** Every engine of the package against the suite that an engine of a user's must pass as well. */
import { createRequire } from 'node:module';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { type EngineUnderTest, engineConformance, type TaskEngine } from 'express-background-tasks/testing/engine';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { runScript } from '../support/scripts.ts';
import { noPgBoss } from './support/pg-boss-node.ts';
import { postgresIsInstalled, startPostgres } from './support/postgres-server.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

const TIMEOUT = 90_000;
/** A process that a timer keeps alive for some seconds does not end in time. */
const ENDS_WITHIN = 5_000;

type Transaction = Pick<EngineUnderTest, 'transaction'>;

/** A server that was started, and how to make engines on it. */
interface Place extends Transaction {
  /** The options of an engine whose store is called so. */
  optionsFor(store: string): object;
  connect(options: object): TaskEngine;
}

interface Engine {
  readonly name: string;
  readonly entry: string;
  /** What is missing here to try it. */
  readonly missing: string | undefined;
  prepare(): Promise<Place>;
}

const engines: readonly Engine[] = [
  {
    name: 'bullmq',
    entry: 'express-background-tasks/bullmq',
    missing: redisIsInstalled ? undefined : 'redis-server is not installed here',
    async prepare() {
      const { bullmq } = await import('express-background-tasks/bullmq');
      const { url: connection } = await startRedis({ until: 'file' });
      return {
        optionsFor: (queue) => ({ connection, queue, lockDuration: 5_000, stalledInterval: 1_000 }),
        connect: (options) => bullmq(options as Parameters<typeof bullmq>[0]),
      };
    },
  },
  {
    name: 'pgBoss',
    entry: 'express-background-tasks/pg-boss',
    missing: noPgBoss ?? (postgresIsInstalled ? undefined : 'Postgres is not installed here'),
    async prepare() {
      const { pgBoss } = await import('express-background-tasks/pg-boss');
      const { url: connection } = await startPostgres({ until: 'file' });
      return {
        optionsFor: (queue) => ({ connection, queue, heartbeatSeconds: 5, superviseIntervalSeconds: 1 }),
        connect: (options) => pgBoss(options as Parameters<typeof pgBoss>[0]),
        transaction: inTransactionAt(connection),
      };
    },
  },
];

/** The parts of pg that are used; it has no types. */
interface PgClient {
  connect(): Promise<void>;
  query(statement: string): Promise<unknown>;
  end(): Promise<void>;
}

function inTransactionAt(connectionString: string): NonNullable<EngineUnderTest['transaction']> {
  return async (end, body) => {
    const { Client } = createRequire(import.meta.url)('pg') as {
      Client: new (options: { connectionString: string }) => PgClient;
    };
    const client = new Client({ connectionString });
    await client.connect();
    try {
      await client.query('BEGIN');
      await body(client);
      await client.query(end);
    } finally {
      await client.end();
    }
  };
}

expectNoProcessFaults();

describe.each(engines)('$name()', ({ name, entry, missing, prepare }) => {
  if (missing !== undefined) {
    it.skip(`conforms (not tried: ${missing})`, () => {});
    return;
  }
  let place: Place;
  let stores = 0;
  const nextStore = (): object => {
    stores += 1;
    return place.optionsFor(`store-${stores}`);
  };

  beforeAll(async () => {
    place = await prepare();
  }, TIMEOUT);

  const cases = engineConformance(
    async () => {
      const options = nextStore();
      const { connect, transaction } = place;
      const engine = connect(options);
      return { engine, second: async () => connect(options), ...(transaction && { transaction }), dispose: () => {} };
    },
    { recoveryPatience: 40_000 },
  );

  it.each(cases)('conforms: $name', ({ run }) => run(), TIMEOUT);

  it('has its transactions tried, where it has any', () => {
    expect(place.connect(nextStore()).features.transactions).toBe(place.transaction !== undefined);
  });

  it(
    'does not keep a process alive once it is closed',
    async () => {
      const tookMs = await runScript('engine-works-and-ends.mjs', entry, name, JSON.stringify(nextStore()));
      expect(Number(tookMs)).toBeLessThan(ENDS_WITHIN);
    },
    TIMEOUT,
  );
});
