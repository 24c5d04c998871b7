/** Shows whether a worker works: by a route, or by the age of a file. */
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import { RecentlyTold } from '../durable/recently-told.ts';
import { SECOND } from '../time/timers.ts';
import { toError } from '../to-error.ts';
import type { HealthOptions } from './arguments.ts';

const BETWEEN_WRITES = 5 * SECOND;

/** What is shown. `isWell: false` while the worker starts or closes, or its engine does not answer. */
export interface Health {
  readonly isWell: boolean;
  readonly [fact: string]: unknown;
}

export interface HealthReports {
  /** The URL of the route, if there is one. */
  readonly url: string | undefined;
  /** To be called when there is news: the file is written at once. */
  changed(): void;
  end(): void;
}

/** @param ask never rejects. */
export async function reportHealth(options: HealthOptions, ask: () => Promise<Health>): Promise<HealthReports> {
  const server = options.port === undefined ? undefined : await listen(options.port, options.host, oneAtATime(ask));
  const write = options.file === undefined ? undefined : writerOf(options.file, ask);
  const timer = write && setInterval(write, BETWEEN_WRITES);
  const address = server?.address() as AddressInfo | undefined;
  return {
    url: address === undefined ? undefined : urlOf(options.host, address.port),
    changed: () => write?.(),
    end() {
      server?.close();
      server?.closeAllConnections();
      clearInterval(timer);
    },
  };
}

/** The engine counts its tasks for each answer. However many ask at the port at once, it counts once. */
function oneAtATime(ask: () => Promise<Health>): () => Promise<Health> {
  let asked: Promise<Health> | undefined;
  return () => {
    asked ??= ask().finally(() => {
      asked = undefined;
    });
    return asked;
  };
}

function urlOf(host: string, port: number): string {
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

function listen(port: number, host: string, ask: () => Promise<Health>): Promise<Server> {
  const server = createServer(async (_req, res) => {
    const { isWell, ...facts } = await ask();
    res.writeHead(isWell ? 200 : 503, { 'Content-Type': 'application/json' });
    res.end(`${JSON.stringify({ status: isWell ? 'working' : 'unavailable', ...facts })}\n`);
  });
  return new Promise((resolve, reject) => {
    server.on('error', (error) => {
      // A connection that could not be accepted, for want of file descriptors for instance, must not end the worker.
      if (server.listening) process.stderr.write(`The health route could not accept a connection: ${error.message}\n`);
      else reject(new Error(`The health route could not be opened: ${error.message}`, { cause: error }));
    });
    server.listen(port, host, () => resolve(server));
  });
}

function writerOf(file: string, ask: () => Promise<Health>): () => Promise<void> {
  const told = new RecentlyTold();
  return async () => {
    const { isWell, ...facts } = await ask();
    if (!isWell) return;
    try {
      writeFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), ...facts })}\n`);
    } catch (thrown) {
      const { message } = toError(thrown);
      if (told.isNews(message)) process.stderr.write(`The health file could not be written: ${message}\n`);
    }
  };
}
