/** What bullmq() asks of Redis when it starts, what it warns of, and when it does not start. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it, jest } from '@jest/globals';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { makeEngine, makeHost, startEngine } from './support/bullmq-engines.ts';
import { taskOf } from './support/bullmq-tasks.ts';
import { starts } from './support/bullmq-workers.ts';
import { freePort } from './support/child-servers.ts';
import { startRedis } from './support/redis-server.ts';
import { describeWithRedis, openClient, shareRedis } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

const redis = shareRedis();

describeWithRedis('bullmq() with redis-server', () => {
  it('does not warn of a Redis that keeps what it is given', async () => {
    const host = makeHost();
    const engine = await startEngine({ connection: redis.url }, host);
    await engine.stage([taskOf()], {});
    await starts(engine, 1);
    await engine.close();
    expect([...host.warnings, ...host.errors]).toEqual([]);
  });

  it('warns of a Redis that writes nothing to disk, and of one that drops what it holds', async () => {
    const careless = await startRedis({ appendonly: false, args: ['--maxmemory-policy', 'allkeys-lru'] });
    const host = makeHost();
    await startEngine({ connection: careless.url }, host);
    expect(host.warnings).toEqual([
      expect.stringMatching(/no append-only file.*`appendonly yes`/),
      expect.stringMatching(/may drop tasks.*allkeys-lru.*`maxmemory-policy noeviction`/),
    ]);
  });

  it('works with a Redis that answers no questions about its settings, as a user of it with a password', async () => {
    const user = ['--user', 'shop', 'on', '>secret', '~tasks:*', '+@all', '-config', '--user', 'default', 'off'];
    const closed = await startRedis({ args: user });
    const host = makeHost();
    const place = { host: '127.0.0.1', port: closed.port, username: 'shop', password: 'secret' };
    const engine = await startEngine({ connection: place, prefix: 'tasks' }, host);
    const task = taskOf();
    await engine.stage([task], {});
    const [[envelope] = []] = await starts(engine, 1);
    expect(envelope).toEqual(task.envelope);
    expect(host.warnings).toEqual([]);

    const stranger = makeEngine({ connection: { ...place, password: 'wrong' }, prefix: 'tasks' });
    await expect(stranger.start(makeHost())).rejects.toThrow(/WRONGPASS|NOAUTH/);
  });

  it.each(['bull', '{bull}'])('does not start on a node of a Redis Cluster, with the prefix %s', async (prefix) => {
    // The port that nodes use among themselves is by default too high for some ports.
    const argsOf = (busPort: number) => ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)];
    const [busPort, otherBusPort] = [await freePort(), await freePort()];
    const node = await startRedis({ args: argsOf(busPort) });
    const other = await startRedis({ args: argsOf(otherBusPort) });
    const clients = [openClient(node.url), openClient(other.url)] as const;
    const [direct, another] = clients;
    await direct.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8191');
    await another.call('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383');
    await direct.call('CLUSTER', 'MEET', '127.0.0.1', String(other.port), String(otherBusPort));
    for (const client of clients) {
      await untilHolds(async () => /cluster_state:ok/.test(String(await client.call('CLUSTER', 'INFO'))));
    }
    const slot = Number(await direct.call('CLUSTER', 'KEYSLOT', `${prefix}:tasks:wait`));
    // All keys of the prefix in braces are on one node: on that one the engine would run until they are moved.
    const elsewhere = slot < 8_192 ? other : node;
    const engine = makeEngine({ connection: elsewhere.url, prefix, queue: 'tasks' });
    await expect(engine.start(makeHost())).rejects.toMatchObject({
      code: 'ERR_BACKGROUND_ENGINE',
      message: expect.stringMatching(
        /^Expected a Redis that keeps all keys of a queue, got a node of a Redis Cluster: (CROSSSLOT|MOVED) .*\. Connect to a Redis or Valkey without cluster mode\.$/,
      ),
    });
  });

  it.each([
    ['is not there', [], /^ERR DB index is out of range$/],
    ['is not for this user', ['--user', 'default', 'on', 'nopass', '~*', '&*', '+@all', '-select'], /^NOPERM .*select/],
  ])(
    'does not start, with another database in its place, where the one that was asked for %s',
    async (_why, args, said) => {
      const server = await startRedis({ args: ['--databases', '2', ...args] });
      const engine = makeEngine({ connection: `${server.url}/${args.length === 0 ? 2 : 1}` });
      await expect(engine.start(makeHost())).rejects.toThrow(said);
      const inFirst = await startEngine({ connection: `${server.url}/0` });
      await inFirst.stage([taskOf()], {});
    },
  );

  it('gives up a start that is under way when it is closed', async () => {
    const asked = makeGate();
    const silent = createServer((socket) => socket.on('error', () => {}).once('data', asked.open)).listen(
      0,
      '127.0.0.1',
    );
    atEnd(() => silent.close());
    await once(silent, 'listening');
    const engine = makeEngine({ connection: `redis://127.0.0.1:${(silent.address() as AddressInfo).port}` });
    const starting = engine.start(makeHost());
    await asked.opened;
    await engine.close();
    await expect(starting).rejects.toThrow(/Connection is closed/);
  });

  it('does not start while Redis is down, and starts when it is there', async () => {
    const late = await startRedis();
    await late.kill();
    const host = makeHost();
    const engine = makeEngine({ connection: late.url });
    await expect(engine.start(host)).rejects.toThrow(/Redis can't be reached: .*ECONNREFUSED/);
    await late.start();
    await engine.start(host);
    await engine.stage([taskOf()], {});
    await starts(engine, 1);
    // The error of start() is reported by its caller.
    expect(host.errors).toEqual([]);
  });
});
