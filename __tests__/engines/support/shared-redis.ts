/** Tests of bullmq() on a Redis that those of a file share, and clients of their own that look into one. */
import { beforeAll, describe } from '@jest/globals';
import { Redis } from 'ioredis';
import { atEnd } from '../../support/cleanup.ts';
import { type RedisServer, redisIsInstalled, startRedis } from './redis-server.ts';

/** A `describe` whose tests are skipped where there is no Redis. */
export function describeWithRedis(name: string, define: () => void): void {
  if (redisIsInstalled) describe(name, define);
  else describe.skip(`${name} (not tried: redis-server is not installed here)`, define);
}

/** To be called once, at the top of a test file; what it returns is for use inside tests. */
export function shareRedis(): Pick<RedisServer, 'url' | 'port'> {
  let running: RedisServer;
  if (redisIsInstalled) {
    beforeAll(async () => {
      running = await startRedis({ until: 'file' });
    });
  }
  return {
    get url() {
      return running.url;
    },
    get port() {
      return running.port;
    },
  };
}

export function openClient(url: string): Redis {
  const client = new Redis(url);
  atEnd(() => {
    // A client that is disconnected twice keeps the process alive for two seconds.
    if (client.status === 'ready') client.disconnect();
  });
  return client;
}

/** All commands that Redis is sent from here on, in the order in which it runs them. */
export async function monitor(client: Redis): Promise<readonly (readonly string[])[]> {
  const commands: string[][] = [];
  const monitoring = await client.monitor();
  atEnd(() => monitoring.disconnect());
  monitoring.on('monitor', (_time: string, command: string[]) => commands.push(command));
  return commands;
}
