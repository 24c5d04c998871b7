/** A relay to a server that can fall silent, as a network does: nothing comes through, and neither side is told. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { atEnd } from '../../support/cleanup.ts';

const HOST = '127.0.0.1';

export interface Relay {
  readonly port: number;
  /** From here on the connections that there are carry nothing. New ones do. */
  fallSilent(): void;
  /** From here on new connections lead to another port. Those that there are stay as they are. */
  leadTo(port: number): void;
}

/** Ends with the test. */
export async function openRelay(port: number): Promise<Relay> {
  const carrying = new Set<Socket>();
  const sockets = new Set<Socket>();
  let target = port;
  const server = createServer((client) => {
    const upstream = connect(target, HOST);
    carrying.add(client);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('data', (bytes) => {
        if (carrying.has(client)) to.write(bytes);
      });
      from.on('close', () => to.destroy());
    }
  }).listen(0, HOST);
  await once(server, 'listening');
  atEnd(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    fallSilent: () => carrying.clear(),
    leadTo(other) {
      target = other;
    },
  };
}
