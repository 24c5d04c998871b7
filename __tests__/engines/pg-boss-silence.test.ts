/** What pgBoss() does when a connection is lost without a notice. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { runInThisContext } from 'node:vm';
import { expect, it, jest } from '@jest/globals';
import type { TaskEngine } from 'express-background-tasks';
import { pgBoss } from 'express-background-tasks/pg-boss';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { host, start } from './support/pg-boss-engines.ts';
import { openRelay, type Relay } from './support/relay.ts';
import { describeWithPostgres, sharePostgres, TIMEOUT } from './support/shared-postgres.ts';

/** No call may take longer. */
const LONGEST_CALL = 60_000;
const KEEP_ALIVE_AFTER = 10_000;
const HURRY = 50;

expectNoProcessFaults();

const { server } = sharePostgres();

/** pg-boss and pg are loaded outside of Jest, with timers of their own: these run this many times as fast until they are reset. */
function hurry(factor: number): () => void {
  const outside = runInThisContext('globalThis') as typeof globalThis;
  const { setTimeout: atTheirPace } = outside;
  const restore = (): void => {
    outside.setTimeout = atTheirPace;
  };
  atEnd(restore);
  const hurried = (call: () => void, milliseconds = 0): NodeJS.Timeout => atTheirPace(call, milliseconds / factor);
  outside.setTimeout = hurried as typeof setTimeout;
  return restore;
}

describeWithPostgres('a connection to Postgres that falls silent', () => {
  async function throughRelay(options: object = {}): Promise<{ relay: Relay; engine: TaskEngine }> {
    const relay = await openRelay(server.port);
    const { port } = relay;
    const engine = await start({
      connection: { host: '127.0.0.1', port, user: 'postgres', database: 'postgres', ...options },
    });
    return { relay, engine };
  }

  it.each<[string, object, number]>([
    ['a minute', {}, LONGEST_CALL],
    ['what `query_timeout` says', { query_timeout: 5_000 }, 5_000],
  ])(
    'is given up after %s, and the next is made',
    async (_time, options, limit) => {
      const { relay, engine } = await throughRelay({ ...options, max: 1 });
      expect(await engine.find(randomUUID())).toBeUndefined();
      relay.fallSilent();
      const atTheirPace = hurry(HURRY);
      const since = performance.now();
      await expect(engine.find(randomUUID())).rejects.toThrow('Query read timeout');
      expect(HURRY * (performance.now() - since)).toBeGreaterThan(0.9 * limit);
      atTheirPace();
      expect(await engine.find(randomUUID())).toBeUndefined();
    },
    TIMEOUT,
  );

  it(
    'is cut when the engine is closed',
    async () => {
      const { relay, engine } = await throughRelay();
      relay.fallSilent();
      const pending = engine.find(randomUUID());
      await engine.close();
      await expect(pending).rejects.toThrow('Connection terminated');
    },
    TIMEOUT,
  );

  it('is cut while the engine starts, when it is closed', async () => {
    const asked = makeGate();
    const silent = createServer((socket) => socket.on('error', () => {}).once('data', asked.open));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    atEnd(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const engine = pgBoss({ connection: { host: '127.0.0.1', port, user: 'postgres', connectionTimeoutMillis: 0 } });
    const starting = engine.start(host());
    await asked.opened;
    await engine.close();
    await expect(starting).rejects.toThrow('Connection terminated');
  });

  it('is checked while it is idle', async () => {
    const keepAlive = jest.spyOn(Socket.prototype, 'setKeepAlive');
    atEnd(() => keepAlive.mockRestore());
    await throughRelay();
    expect(keepAlive.mock.calls.length).toBeGreaterThan(0);
    for (const call of keepAlive.mock.calls) expect(call).toEqual([true, KEEP_ALIVE_AFTER]);
  });
});
