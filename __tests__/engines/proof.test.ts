import { describe, it } from '@jest/globals';
import { proveEngine } from './support/proof.ts';
import type { EngineUnderProof } from './support/proof-engine.ts';
import { proveThatAnOutageLosesNothing } from './support/proof-outages.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

const quick = { lockDuration: 2_000, stalledInterval: 500 };
const tuned = { lockDuration: 5_000, stalledInterval: 2_000 };
const byDefault = { lockDuration: 30_000, stalledInterval: 10_000 };

function takeoverWith({ lockDuration, stalledInterval }: typeof quick): number {
  return lockDuration + 2 * stalledInterval;
}

const redis: EngineUnderProof = {
  name: 'bullmq',
  on: 'Redis',
  startServer: () => startRedis({ args: ['--appendfsync', 'always'] }),
  quick,
  limits: {
    takeover: takeoverWith(quick),
    look: 0,
    // A second between two attempts to connect, and one between two to fetch.
    reunion: 2_000,
  },
  recoveries: [
    { settings: 'the default options', options: {}, takeover: takeoverWith(byDefault) },
    { settings: 'a lock of 5 s and a look every 2 s', options: tuned, takeover: takeoverWith(tuned) },
  ],
  workersKeepHolds: true,
};

if (redisIsInstalled) {
  describe('durable tasks on Redis', () => {
    proveEngine(redis);
  });
  describe('durable tasks on Redis that syncs every second, as it does by default,', () => {
    const startServer: EngineUnderProof['startServer'] = () => startRedis({ args: ['--appendfsync', 'everysec'] });
    proveThatAnOutageLosesNothing({ ...redis, on: 'Redis, `everysec`', startServer }, 'killed');
  });
} else {
  it.skip('durable tasks on Redis (not tried: redis-server is not installed here)', () => {});
}
