/** A server that says that it is a Redis of some version, and agrees to everything else. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { atEnd } from '../../support/cleanup.ts';

/** A command as clients send it: how many words, and each after its length. */
const COMMAND = /^\*(\d+)\r\n((?:\$\d+\r\n[^\r]*\r\n)*)/;

/** Resolves to its URL. */
export async function startRedisOfVersion(version: string): Promise<string> {
  const server = createServer((socket) => {
    let unread = '';
    socket
      .on('error', () => {})
      .setEncoding('utf8')
      .on('data', (text: string) => {
        unread += text;
        for (let command = COMMAND.exec(unread); command !== null; command = COMMAND.exec(unread)) {
          const words = wordsOf(command[2] ?? '');
          if (words.length < Number(command[1])) return;
          unread = unread.slice(command[0].length);
          socket.write(words[0]?.toLowerCase() === 'info' ? bulk(`redis_version:${version}\r\n`) : '+OK\r\n');
        }
      });
  }).listen(0, '127.0.0.1');
  atEnd(() => server.close());
  await once(server, 'listening');
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function wordsOf(text: string): string[] {
  return [...text.matchAll(/\$\d+\r\n([^\r]*)\r\n/g)].map(([, word]) => word as string);
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}
