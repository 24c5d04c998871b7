import { describe, it } from '@jest/globals';
import { noPgBoss } from './support/pg-boss-node.ts';
import { postgresIsInstalled, startPostgres } from './support/postgres-server.ts';
import { proveEngine } from './support/proof.ts';

const missing = noPgBoss ?? (postgresIsInstalled ? undefined : 'Postgres is not installed here');
const quick = { heartbeatSeconds: 2, superviseIntervalSeconds: 1, pollingIntervalSeconds: 1 };

if (missing === undefined) {
  describe('durable tasks on Postgres', () => {
    proveEngine({
      name: 'pgBoss',
      on: 'Postgres',
      startServer: () => startPostgres(),
      quick,
      limits: {
        takeover: 1_000 * (quick.heartbeatSeconds + quick.superviseIntervalSeconds),
        look: 1_000 * quick.pollingIntervalSeconds,
        // Between two attempts to fetch.
        reunion: 250,
      },
      workersKeepHolds: false,
    });
  });
} else {
  it.skip(`durable tasks on Postgres (not tried: ${missing})`, () => {});
}
