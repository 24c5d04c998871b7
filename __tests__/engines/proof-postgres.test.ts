import { describe, it } from '@jest/globals';
import { postgresIsInstalled, startPostgres } from './support/postgres-server.ts';
import { proveEngine } from './support/proof.ts';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const nodeIsSupported = major > 22 || (major === 22 && minor >= 12);
const quick = { heartbeatSeconds: 2, superviseIntervalSeconds: 1, pollingIntervalSeconds: 1 };

if (nodeIsSupported && postgresIsInstalled) {
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
  const reason = nodeIsSupported ? 'Postgres is not installed here' : 'pg-boss needs Node 22.12 or later';
  it.skip(`durable tasks on Postgres (not tried: ${reason})`, () => {});
}
