/** TLS options of pgBoss() reach the connection. The server accepts TLS, and then looks at what it gets. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from '@jest/globals';
import { type PgBossOptions, pgBoss } from 'express-background-tasks/pg-boss';
import { Pool } from 'pg';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { noPgBoss } from './support/pg-boss-node.ts';

/** The length of the message, and the code that asks for TLS. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const TLS_HANDSHAKE = 22;

const ways: readonly (readonly [string, (port: number) => PgBossOptions['connection']])[] = [
  ['by its URL', (port) => `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=verify-full`],
  ['by its options', (port) => ({ host: '127.0.0.1', port, ssl: true })],
  ['by the pool', (port) => poolOf({ host: '127.0.0.1', port, ssl: { rejectUnauthorized: false } })],
];

if (noPgBoss === undefined) {
  it.each(ways)('speaks TLS where it is told to %s', async (_how, connectionFor) => {
    const [request, firstByte] = [makeGate<Buffer>(), makeGate<number | undefined>()];
    const server = createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', (asked: Buffer) => {
          request.open(asked);
          socket.once('data', (data: Buffer) => {
            firstByte.open(data[0]);
            socket.destroy();
          });
          socket.write('S');
        });
    }).listen(0, '127.0.0.1');
    atEnd(() => server.close());
    await once(server, 'listening');
    const engine = pgBoss({ connection: connectionFor((server.address() as AddressInfo).port) });
    atEnd(() => engine.close());
    await expect(engine.start({ warn() {}, error() {} })).rejects.toThrow();
    expect(await request.opened).toEqual(SSL_REQUEST);
    expect(await firstByte.opened).toBe(TLS_HANDSHAKE);
  });
} else {
  it.skip(`pgBoss() and TLS (not tried: ${noPgBoss})`, () => {});
}

function poolOf(options: ConstructorParameters<typeof Pool>[0]): PgBossOptions['connection'] {
  const pool = new Pool(options);
  atEnd(() => pool.end());
  return pool as unknown as PgBossOptions['connection'];
}
