/** What bullmq() does when another Redis becomes the master, or the one that it has is none. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { makeHost, startEngine } from './support/bullmq-engines.ts';
import { taskOf } from './support/bullmq-tasks.ts';
import { COMPLETED } from './support/completed.ts';
import { type RedisServer, startRedis } from './support/redis-server.ts';
import { openRelay } from './support/relay.ts';
import { describeWithRedis, openClient } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

describeWithRedis('bullmq() with redis-server', () => {
  it.each([
    ['a URL', (port: number) => `redis://127.0.0.1:${port}`],
    ['a client', (port: number) => new Redis({ port, lazyConnect: true })],
  ])(
    'goes on after a planned failover, whose old master refuses to write and keeps its connections: %s',
    async (_what, connectionFor) => {
      const [old, next] = await startTwo();
      const [toOld, toNext] = [openClient(old.url), openClient(next.url)];
      await toNext.replicaof('127.0.0.1', old.port);
      await untilHolds(async () => (await toNext.info('replication')).includes('master_link_status:up'));
      const relay = await openRelay(old.port);
      const host = makeHost();
      const engine = await startEngine({ connection: connectionFor(relay.port) }, host);
      const [before, after] = [taskOf(), taskOf()];
      const [started, mayEnd, ended] = [makeGate(), makeGate(), makeGate()];
      const working = await engine.work(
        async ({ id }) => {
          if (id === after.envelope.id) ended.open();
          started.open();
          await mayEnd.opened;
          return COMPLETED;
        },
        { concurrency: 1 },
      );
      await engine.stage([before], {});
      await started.opened;
      // A planned failover waits until the replica has everything.
      await toOld.set('the last before the failover', 1);
      expect(await toOld.wait(1, 10_000)).toBe(1);
      await toNext.replicaof('NO', 'ONE');
      await toOld.replicaof('127.0.0.1', next.port);
      relay.leadTo(next.port);
      mayEnd.open();
      await engine.stage([after], {});
      await ended.opened;
      await working.stop();
      expect(await engine.find(before.envelope.id)).toMatchObject({ state: 'completed', attempts: 1 });
    },
  );

  it('connects again once where many calls are refused together: a listener for each would be told of as a leak', async () => {
    const [old, next] = await startTwo();
    const [toOld, relay] = [openClient(old.url), await openRelay(old.port)];
    const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}` });
    await toOld.replicaof('127.0.0.1', next.port);
    relay.leadTo(next.port);
    await Promise.all(Array.from({ length: 20 }, () => engine.stage([taskOf()], {})));
    expect(await engine.stats()).toMatchObject({ waiting: 20 });
  });

  it('reports once that no sentinel answers, and goes on when one does', async () => {
    const server = await startRedis();
    const sentinel = await startSentinel(server.port);
    const host = makeHost();
    const connection = { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'shop' };
    const engine = await startEngine({ connection }, host);
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    sentinel.isThere = false;
    const direct = openClient(server.url);
    await direct.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await host.failed;
    await untilHolds(() => sentinel.hangUps >= 12);
    expect(host.errors).toHaveLength(1);
    sentinel.isThere = true;
    const task = taskOf();
    await untilHolds(() =>
      engine.stage([task], {}).then(
        () => true,
        () => false,
      ),
    );
    await untilHolds(async () => (await engine.find(task.envelope.id))?.state === 'completed');
    await working.stop();
  });

  it('says so if its connection leads to a replica permanently', async () => {
    const [master, replica] = await startTwo();
    const direct = openClient(replica.url);
    await direct.replicaof('127.0.0.1', master.port);
    await untilHolds(async () => (await direct.info('replication')).includes('master_link_status:up'));
    const engine = await startEngine({ connection: replica.url });
    await expect(engine.stage([taskOf()], {})).rejects.toThrow(/READONLY/);
  });
});

/** Of which one can become the replica of the other without delay. */
async function startTwo(): Promise<readonly [RedisServer, RedisServer]> {
  const args = ['--repl-diskless-sync-delay', '0'];
  return [await startRedis({ args }), await startRedis({ args })];
}

interface Sentinel {
  readonly port: number;
  isThere: boolean;
  /** How many questions it has answered by hanging up. */
  hangUps: number;
}

/** Says that the master is on this port, as long as it is there. */
async function startSentinel(masterPort: number): Promise<Sentinel> {
  const port = String(masterPort);
  const master = `*2\r\n$9\r\n127.0.0.1\r\n$${port.length}\r\n${port}\r\n`;
  const server = createServer((socket) => {
    socket
      .on('error', () => {})
      .on('data', (data) => {
        if (!sentinel.isThere) {
          sentinel.hangUps += 1;
          socket.destroy();
          return;
        }
        // Several commands may come at once; each begins with how many words it has.
        for (const command of String(data).split(/^(?=\*\d)/m)) {
          socket.write(command.includes('get-master-addr-by-name') ? master : '*0\r\n');
        }
      });
  }).listen(0, '127.0.0.1');
  atEnd(() => server.close());
  await once(server, 'listening');
  const sentinel: Sentinel = { port: (server.address() as AddressInfo).port, isThere: true, hangUps: 0 };
  return sentinel;
}
