import { describe, it } from '@jest/globals';
import { noPgBoss } from './support/pg-boss-node.ts';
import { postgresIsInstalled, startPostgres } from './support/postgres-server.ts';
import { proveEngine } from './support/proof.ts';

const missing = noPgBoss ?? (postgresIsInstalled ? undefined : 'Postgres is not installed here');
const quick = { heartbeatSeconds: 2, superviseIntervalSeconds: 1, pollingIntervalSeconds: 1 };
const tuned = { heartbeatSeconds: 10, superviseIntervalSeconds: 2 };
const byDefault = { heartbeatSeconds: 15, superviseIntervalSeconds: 10 };

function takeoverWith({ heartbeatSeconds, superviseIntervalSeconds }: typeof tuned): number {
  return 1_000 * (heartbeatSeconds + superviseIntervalSeconds);
}

if (missing === undefined) {
  describe('durable tasks on Postgres', () => {
    proveEngine({
      name: 'pgBoss',
      on: 'Postgres',
      startServer: () => startPostgres(),
      quick,
      limits: {
        takeover: takeoverWith(quick),
        look: 1_000 * quick.pollingIntervalSeconds,
        // Between two attempts to fetch.
        reunion: 250,
      },
      recoveries: [
        { settings: 'the default options', options: {}, takeover: takeoverWith(byDefault) },
        { settings: 'a heartbeat of 10 s and a look every 2 s', options: tuned, takeover: takeoverWith(tuned) },
      ],
      workersKeepHolds: false,
    });
  });
} else {
  it.skip(`durable tasks on Postgres (not tried: ${missing})`, () => {});
}
