import { describe, it } from '@jest/globals';
import { proveEngine } from './support/proof.ts';
import type { EngineUnderProof } from './support/proof-engine.ts';
import { proveThatAnOutageLosesNothing } from './support/proof-outages.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

const quick = { lockDuration: 2_000, stalledInterval: 500 };

const redis: EngineUnderProof = {
  name: 'bullmq',
  on: 'Redis',
  startServer: () => startRedis({ args: ['--appendfsync', 'always'] }),
  quick,
  limits: {
    takeover: quick.lockDuration + 2 * quick.stalledInterval,
    look: 0,
    // A second between two attempts to connect, and one between two to fetch.
    reunion: 2_000,
  },
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
