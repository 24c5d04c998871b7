import { describe, it } from '@jest/globals';
import { proveEngine } from './support/proof.ts';
import { redisIsInstalled, startRedis } from './support/redis-server.ts';

if (redisIsInstalled) {
  describe('durable tasks on Redis', () => {
    proveEngine({
      name: 'bullmq',
      startServer: () => startRedis({ args: ['--appendfsync', 'always'] }),
      quick: { lockDuration: 2_000, stalledInterval: 500 },
      workersKeepHolds: true,
    });
  });
} else {
  it.skip('durable tasks on Redis (not tried: redis-server is not installed here)', () => {});
}
