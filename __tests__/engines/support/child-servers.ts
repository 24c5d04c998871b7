/** What the servers have in common that tests start: a port that is free, and a word that they are ready. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

export const HOST = '127.0.0.1';

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves when the server has written that it is ready to what it logs to; rejects with its log if it ends before. */
export function untilReady(server: ChildProcess, log: 'stdout' | 'stderr'): Promise<void> {
  return new Promise((resolve, reject) => {
    let heard = '';
    server[log]?.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
      if (/ready to accept connections/i.test(heard)) resolve();
    });
    server.once('error', reject);
    server.once('exit', () => reject(new Error(`${server.spawnfile} has ended:\n${heard}`)));
  });
}
