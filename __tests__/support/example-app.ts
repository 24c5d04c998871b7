/** The example application as its users run it: a process of its own, used over HTTP. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { request } from './clients.ts';
import { News } from './news.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export const photos: string = join(root, 'examples/app/photos');

export interface Example {
  readonly url: string;
  /** Where it writes its thumbnails, its audit log and its database. */
  readonly folder: string;
  /** All that it printed so far. */
  output(): string;
  /** Asks it to end, as an operator would; resolves to its exit code. */
  stop(): Promise<number | null>;
  /** Removes what it wrote. */
  clear(): void;
}

export async function startExample(): Promise<Example> {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-example-'));
  const { NODE_OPTIONS, NODE_ENV, JEST_WORKER_ID, ...env } = process.env;
  const app = spawn(process.execPath, ['examples/app/server.js'], {
    cwd: root,
    env: { ...env, PORT: '0', DATA: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [app.stdout, app.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  let isStopping = false;
  const exited = once(app, 'close').then(([code, signal]) => {
    // Its clients only see that connections are refused: what it said is told here.
    if (!isStopping) console.error(`the example application ended (${signal ?? `exit code ${code}`}):\n${output}`);
    return code as number | null;
  });
  const url = await Promise.race([urlIn(app.stdout), exited.then(() => undefined)]);
  if (url === undefined) throw new Error(`the example application did not start:\n${output}`);
  return {
    url,
    folder,
    output: () => output,
    stop() {
      isStopping = true;
      app.kill('SIGTERM');
      return exited;
    },
    clear: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function urlIn(stdout: NodeJS.ReadableStream): Promise<string | undefined> {
  for await (const line of createInterface({ input: stdout })) {
    const url = /http:\/\/[\d.:]+/.exec(line)?.[0];
    if (url !== undefined) return url;
  }
  return undefined;
}

/** A task as the example's page hears of it. */
export interface Told {
  readonly type: string;
  /** When it arrived here, by `performance.now()`. */
  readonly at: number;
  readonly id: string;
  readonly name: string;
  readonly state?: string;
  readonly executor?: string;
  readonly waitedMs?: number;
  readonly ranMs?: number;
  readonly value?: Record<string, unknown>;
  readonly error?: { readonly message: string };
  readonly response?: { readonly ended: string; readonly statusCode: number };
  readonly requestId?: string;
  /** Of what the watchdog reports. */
  readonly task?: { readonly name: string };
  readonly blockedMs?: number;
  readonly stack?: readonly { readonly function: string; readonly file: string; readonly line: number }[];
}

export interface EventStream {
  /** Resolves to the first event like this one, past or to come. */
  first(isWanted: (event: Told) => boolean): Promise<Told>;
  /** Resolves when each of these tasks has settled, in the order given. */
  settled(tasks: readonly { readonly id: string }[]): Promise<Told[]>;
  close(): void;
}

/** Listens to the example's server-sent events, as its page does. */
export async function listenTo(url: string): Promise<EventStream> {
  const controller = new AbortController();
  const response = await fetch(`${url}/events`, { signal: controller.signal });
  if (response.body === null) throw new Error('an event stream without a body');
  const told: Told[] = [];
  const news = new News();
  const reading = readEvents(response.body, (event) => {
    told.push(event);
    news.came();
  });
  // Ended by `close`.
  reading.catch(() => undefined);

  const first: EventStream['first'] = (isWanted) => news.until(() => told.find(isWanted));
  return {
    first,
    settled: (tasks) =>
      Promise.all(tasks.map(({ id }) => first((event) => event.type === 'settled' && event.id === id))),
    close: () => controller.abort(),
  };
}

async function readEvents(body: ReadableStream<Uint8Array>, onEvent: (event: Told) => void): Promise<void> {
  let text = '';
  for await (const chunk of body.pipeThrough(new TextDecoderStream() as never) as unknown as AsyncIterable<string>) {
    text += chunk;
    const messages = text.split('\n\n');
    text = messages.pop() ?? '';
    for (const message of messages) {
      const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(message) ?? [];
      if (type !== undefined && data !== undefined) onEvent({ ...JSON.parse(data), type, at: performance.now() });
    }
  }
}

/** Pings at an even rate until `until` resolves, whether or not the answers keep up. Resolves to how long each took. */
export async function pingUntil(url: string, until: Promise<unknown>): Promise<number[]> {
  const pings: Promise<number>[] = [];
  const timer = setInterval(() => pings.push(ping(url)), 20);
  await until.finally(() => clearInterval(timer));
  return Promise.all(pings);
}

/**
 * On a connection of its own. One that is kept may be closed on the ping: a server that was blocked for longer than it keeps
 * idle connections ends them first, and reads what has come on them afterwards.
 */
async function ping(url: string): Promise<number> {
  const sentAt = performance.now();
  const { status } = await request(Number(new URL(url).port), { path: '/ping' });
  if (status !== 204) throw new Error(`a ping was answered with ${status}`);
  return performance.now() - sentAt;
}
