/**
 * A relay to a server. It can fall silent, as a network does: nothing comes through, and neither side is told. And it can
 * hold answers back, to show what is asked without them.
 */
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
  /** All that has been asked so far, a character for each byte. */
  readonly asked: string;
  /**
   * From here on the server is asked, but its answers wait, until the function that is returned is called.
   *
   * @param isMeant which connections' answers, by what they have asked so far; those of all where it is left out.
   */
  holdAnswers(isMeant?: (asked: string) => boolean): () => void;
  /** Ends the connections that there are, and what is on its way is lost. */
  cut(): void;
  /** Takes no more from the clients that there are, and ends its side: they can never send all that they have. */
  endUnread(): Promise<unknown>;
}

/** Ends with the test. */
export async function openRelay(port: number): Promise<Relay> {
  const carrying = new Set<Socket>();
  const sockets = new Set<Socket>();
  /** With what each has been asked. */
  const servers = new Map<Socket, string>();
  let target = port;
  let asked = '';
  const server = createServer((client) => {
    const upstream = connect(target, HOST);
    carrying.add(client);
    servers.set(upstream, '');
    client.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1');
      asked += text;
      servers.set(upstream, `${servers.get(upstream) ?? ''}${text}`);
    });
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
    get asked() {
      return asked;
    },
    endUnread() {
      return Promise.all(Array.from(carrying, (client) => once(client.pause().end(), 'finish')));
    },
    cut() {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
      servers.clear();
    },
    holdAnswers(isMeant = () => true) {
      const held = [...servers].filter(([, heard]) => isMeant(heard)).map(([upstream]) => upstream);
      for (const upstream of held) upstream.pause();
      return () => {
        for (const upstream of held) upstream.resume();
      };
    },
  };
}
