/** Clients over real sockets: one for whole requests, and a raw one that can hang up, pipeline, and not read. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { type Socket, connect as tcpConnect } from 'node:net';
import { atEnd } from './cleanup.ts';
import { News } from './news.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
}

/** One request on a connection of its own, without keep-alive. */
export function request(port: number, options: RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = httpRequest({ host: '127.0.0.1', port, agent: false, ...options }, (res) => {
      let body = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        body += chunk;
      });
      res.on('end', () => resolve({ status: res.statusCode as number, headers: res.headers, body }));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end();
  });
}

/** The text of a GET request as it goes over the wire. */
export function getText(path = '/', headers: readonly string[] = []): string {
  return [`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n');
}

/** A socket that reads as text whatever comes, and can be asked to wait for it. */
export class RawClient {
  readonly socket: Socket;
  /** Resolves when the connection has ended, by either side. */
  readonly closed: Promise<void>;
  received = '';
  readonly #news = new News();

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    // A hang-up may come back as a reset; `closed` tells as much.
    socket.on('error', () => {});
    atEnd(() => socket.destroy());
  }

  /** Connects, and begins to read unless `reading` is `false`: then `read()` does. */
  static async connect(port: number, { reading = true } = {}): Promise<RawClient> {
    const client = new RawClient(tcpConnect({ port, host: '127.0.0.1' }));
    await new Promise((resolve) => client.socket.once('connect', resolve));
    if (reading) client.read();
    else client.socket.pause();
    return client;
  }

  read(): void {
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.#news.came();
    });
    this.socket.resume();
  }

  send(text: string): void {
    this.socket.write(text);
  }

  hangUp(): void {
    this.socket.destroy();
  }

  /** Resolves when all that was received matches. */
  async until(pattern: RegExp): Promise<void> {
    await this.#news.until(() => pattern.test(this.received) || undefined);
  }
}
