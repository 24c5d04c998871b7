/** The connections that bullmq() can be given: how it uses them, and how it leaves them. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it, jest } from '@jest/globals';
import type { StagedTask } from 'express-background-tasks/testing/engine';
import { Redis } from 'ioredis';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds, untilTimersComeNext } from '../support/time.ts';
import { makeEngine, makeHost, startEngine } from './support/bullmq-engines.ts';
import { taskOf } from './support/bullmq-tasks.ts';
import { starts, workAtTheGate } from './support/bullmq-workers.ts';
import { COMPLETED } from './support/completed.ts';
import { startRedis } from './support/redis-server.ts';
import { openRelay } from './support/relay.ts';
import { describeWithRedis, openClient, shareRedis } from './support/shared-redis.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

const TLS_HANDSHAKE = 22;
/** Between two checks whether Redis is up. */
const LONGEST_SILENCE = 5_000;

const redis = shareRedis();

describeWithRedis('bullmq() with redis-server', () => {
  it('keeps its connection as a user who may not send PING: a refusal is an answer', async () => {
    const user = ['--user', 'default', 'on', 'nopass', '~*', '&*', '+@all', '-ping'];
    const server = await startRedis({ args: user });
    const { engine, look } = await startWithLooks(server.url);
    const direct = openClient(server.url);
    const connections = async () => ((await direct.client('LIST')) as string).match(/^id=\d+/gm);
    const before = await connections();
    for (let count = 0; count < 3; count += 1) {
      look();
      await engine.stats();
    }
    expect(await connections()).toEqual(before);
  });

  it('makes another connection where the one that it had was ended by the other side, which takes no more', async () => {
    const relay = await openRelay(redis.port);
    const { engine, look } = await startWithLooks(`redis://127.0.0.1:${relay.port}`);
    const ended = relay.endUnread();
    look();
    const staged = engine.stage([largeTask()], {});
    await ended;
    // By then the end has come to this side.
    for (let turns = 0; turns < 10; turns += 1) await untilTimersComeNext();
    look();
    await staged;
    expect(await engine.stats()).toMatchObject({ waiting: 1 });
  });

  it('makes another connection where the one that it makes is taken, and then answers nothing', async () => {
    const [relay, silent] = [await openRelay(redis.port), await openSilent()];
    const { engine, look } = await startWithLooks(`redis://127.0.0.1:${relay.port}`);
    relay.leadTo(silent.port);
    relay.cut();
    await silent.asked;
    relay.leadTo(redis.port);
    for (let looks = 0; looks < 2; looks += 1) look();
    // At every second attempt to connect, calls are given up.
    await untilHolds(async () => (await engine.stats().catch(() => undefined)) !== undefined);
  });

  it('says that there is no answer, once and to who calls, where every connection is taken and answers nothing', async () => {
    const [relay, silent] = [await openRelay(redis.port), await openSilent()];
    const host = makeHost();
    const { engine, look } = await startWithLooks(`redis://127.0.0.1:${relay.port}`, host);
    relay.leadTo(silent.port);
    relay.fallSilent();
    const looking = setInterval(look, 1);
    atEnd(() => clearInterval(looking));
    await silent.asked;
    // One that waits for the connection is given up at every second attempt to make it.
    await expect(engine.stats()).rejects.toThrow("Redis can't be reached: no answer within 5000 ms");
    expect(host.errors.map(({ message }) => message)).toEqual(['no answer within 5000 ms']);
  });

  it.each([
    ['by its URL', (port: number) => `rediss://127.0.0.1:${port}`],
    ['by its URL in capitals', (port: number) => `REDISS://127.0.0.1:${port}`],
    ['by its options', (port: number) => ({ port, tls: { rejectUnauthorized: false } })],
    ['by the client', (port: number) => new Redis({ port, lazyConnect: true, tls: {} })],
  ])('speaks TLS where it is told to %s', async (_how, connectionFor) => {
    const firstByte = makeGate<number | undefined>();
    const server = createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', (data: Buffer) => {
          firstByte.open(data[0]);
          socket.destroy();
        });
    }).listen(0, '127.0.0.1');
    atEnd(() => server.close());
    await once(server, 'listening');
    const engine = makeEngine({ connection: connectionFor((server.address() as AddressInfo).port) });
    await expect(engine.start(makeHost())).rejects.toThrow(/Redis can't be reached/);
    expect(await firstByte.opened).toBe(TLS_HANDSHAKE);
  });

  it('leaves the client that it was given open, and as it was', async () => {
    const direct = openClient(redis.url);
    const engine = await startEngine({ connection: direct });
    await engine.stage([taskOf()], {});
    await starts(engine, 1);
    await engine.close();
    expect(direct.options.maxRetriesPerRequest).toBe(20);
    expect(direct.listenerCount('error')).toBe(0);
    await expect(direct.ping()).resolves.toBe('PONG');
  });

  const unsuitable = {
    scripts: { echo: { numberOfKeys: 0, lua: 'return ARGV[1]' } },
    commandTimeout: 200,
    socketTimeout: 200,
    blockingTimeout: 200,
    stringNumbers: true,
  };

  it.each([
    ['a client', (port: number) => new Redis({ port, lazyConnect: true, ...unsuitable })],
    ['options', (port: number) => ({ port, ...unsuitable })],
    ['a URL', (port: number) => `redis://127.0.0.1:${port}/0?maxRetriesPerRequest=3&stringNumbers=true&lazyConnect=`],
    ['a URL among options', (port: number) => ({ url: `redis://127.0.0.1:${port}?stringNumbers=true` })],
    [
      'a number in a URL, which ioredis takes for text',
      (port: number) => `redis://127.0.0.1:${port}?connectTimeout=900`,
    ],
  ])('does not take over an option that it could not work with: %s', async (_what, connectionFor) => {
    const host = makeHost();
    const engine = await startEngine({ connection: connectionFor(redis.port) }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    mayEnd.open();
    // For longer than an answer may take by those options. Redis counts how many seconds have begun since it was asked.
    const direct = openClient(redis.url);
    const waits = async () => / idle=[2-9].* cmd=bzpopmin /.test((await direct.client('LIST')) as string);
    await untilHolds(async () => host.errors.length > 0 || (await waits()));
    await engine.stage([taskOf()], {});
    await started.opened;
    await working.stop();
    expect(await engine.stats()).toEqual({ held: 0, waiting: 0, running: 0, failed: 0 });
    expect(host.errors).toEqual([]);
  });

  it('closes every connection that it has made', async () => {
    const direct = openClient(redis.url);
    const others = async (): Promise<number> => ((await direct.client('LIST')) as string).trim().split('\n').length - 1;
    const before = await others();
    const engine = await startEngine({ connection: redis.url });
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    expect(await others()).toBeGreaterThan(before);
    await working.stop();
    await engine.close();
    while ((await others()) > before);
  });
});

/** An engine, and what looks whether Redis is there: it does so by itself as well, from time to time. */
async function startWithLooks(connection: string, host = makeHost()) {
  const link = jest.spyOn(globalThis, 'setInterval');
  const engine = await startEngine({ connection }, host);
  const looks = link.mock.calls.filter(([, ms]) => ms === LONGEST_SILENCE).map(([look]) => look as () => void);
  link.mockRestore();
  expect(looks).not.toEqual([]);
  const look = (): void => {
    for (const each of looks) each();
  };
  return { engine, look };
}

/** A server that takes connections, and answers nothing. */
async function openSilent() {
  const asked = makeGate();
  const silent = createServer((socket) => socket.on('error', () => {}).once('data', asked.open)).listen(0, '127.0.0.1');
  atEnd(() => silent.close());
  await once(silent, 'listening');
  return { port: (silent.address() as AddressInfo).port, asked: asked.opened };
}

/** More than the system takes of a connection that nobody reads. */
function largeTask(): StagedTask {
  const { envelope, ...rest } = taskOf();
  return { ...rest, envelope: { ...envelope, args: ['x'.repeat(2 ** 24)] } };
}
