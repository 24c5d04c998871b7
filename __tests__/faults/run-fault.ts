/** Commits one fault, among tasks that commit none, in a server that gets requests all the time. */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Contestant, Running, TaskOrder } from './contestants.ts';
import { tally } from './settlement.ts';
import type { Fault } from './table.ts';

export interface Report {
  /** What the caller was told. */
  readonly caller: string;
  /** What became of the tasks beside: those that ran, and those that waited. */
  readonly others: string;
  readonly servesAgain: boolean;
  readonly pings: { readonly answered: number; readonly unanswered: number };
  /** How many of the guilty tasks had settled when the time for watching them ended. */
  readonly settledInWindow: number;
}

export const UNHARMED = 'unharmed';
export const HANGS = 'hangs';

/** One that begins before the guilty task, those that wait between the two if it is in a batch, and those that begin with it or after. */
const FIRST = 1;
const BEFORE_IN_BATCH = 4;
const AFTER = 4;
const REST = 40;
/** How often a task must have run until it counts as short, even on a busy machine. */
const LESSONS = 30;

type Middleware = (req: IncomingMessage, res: ServerResponse, next: () => void) => void;

export class FaultyServer {
  readonly #contestant: Contestant;
  readonly #server: Server;
  readonly #limit: number;
  #onTasks: ((res: ServerResponse) => void) | undefined;

  /** `limit`: how long anything may take until it counts as hanging, in milliseconds. */
  static async start(contestant: Contestant, limit: number): Promise<FaultyServer> {
    const server = new FaultyServer(contestant, limit);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  private constructor(contestant: Contestant, limit: number) {
    this.#contestant = contestant;
    this.#limit = limit;
    const passOn: Middleware = contestant.middleware ?? ((_req, _res, next) => next());
    // Without Express, which takes a server as long to load as all else.
    this.#server = createServer((req, res) => {
      if (req.url === '/ping') return void res.end('pong');
      passOn(req, res, () => {
        this.#onTasks?.(res);
        res.end('pong');
      });
    });
  }

  async commit(fault: Fault): Promise<Report> {
    if (fault.isBatched) await this.#showThatItIsShort(fault);
    const pings = this.#keepPinging();
    const { guilty, others } = await this.#addTasks(fault);
    let settled = 0;
    for (const task of guilty) task.settled.then(() => (settled += 1));
    if (fault.window !== undefined) await pause(fault.window);
    const settledInWindow = settled;
    if (fault.window !== undefined) for (const task of guilty) task.cancel();

    const ends = await Promise.all(guilty.map((task) => this.#endOf(task)));
    const otherEnds = await Promise.all(others.map((task) => this.#endOf(task)));
    const harmed = otherEnds.filter((end, index) => !end.endsWith(`: ${index}`));
    const probe = this.#contestant.run({ module: 'tasks.cjs', task: 'echo', argument: 'again', timeout: undefined });
    const servesAgain = (await this.#endOf(probe)).endsWith(": 'again'");
    return {
      caller: ends.length === 1 ? (ends[0] as string) : tally(ends),
      others: harmed.length === 0 ? UNHARMED : tally(harmed),
      servesAgain,
      pings: await pings.stop(),
      settledInWindow,
    };
  }

  async close(): Promise<void> {
    await within(this.#limit, this.#contestant.close());
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #showThatItIsShort({ module = 'tasks.cjs', task }: Fault): Promise<void> {
    for (let value = 0; value < LESSONS; value += 1) {
      await this.#endOf(this.#contestant.run({ module, task, argument: { value }, timeout: undefined }));
    }
  }

  /** In the handler of one request, so that they keep their order. */
  #addTasks({ module = 'tasks.cjs', task, argument, timeout, times = 1, isBatched = false }: Fault): Promise<{
    guilty: readonly Running[];
    others: readonly Running[];
  }> {
    return new Promise((resolve, reject) => {
      this.#onTasks = (res) => {
        const run = (order: TaskOrder): Running => this.#contestant.run(order, res);
        const rest = (value: number): Running =>
          run({ module: 'tasks.cjs', task: 'rest', argument: { ms: REST, value }, timeout: undefined });
        const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
        const alike = (value: number): Running => run({ module, task, argument: { value }, timeout: undefined });
        const before = [...numbers(0, FIRST).map(rest), ...numbers(FIRST, isBatched ? BEFORE_IN_BATCH : 0).map(alike)];
        const guilty = numbers(0, times).map(() => run({ module, task, argument, timeout }));
        const after = numbers(before.length, AFTER).map(isBatched ? alike : rest);
        resolve({ guilty, others: [...before, ...after] });
      };
      this.#ask('/tasks').catch(reject);
    });
  }

  async #endOf({ settled }: Running): Promise<string> {
    return (await within(this.#limit, settled)) ?? HANGS;
  }

  #keepPinging(): { stop(): Promise<Report['pings']> } {
    const pings = { answered: 0, unanswered: 0 };
    let isStopped = false;
    const keepOn = async (): Promise<Report['pings']> => {
      do {
        await this.#ask('/ping').then(
          () => (pings.answered += 1),
          () => (pings.unanswered += 1),
        );
        await pause(PING_PAUSE);
      } while (!isStopped);
      return pings;
    };
    const done = keepOn();
    return {
      stop: () => {
        isStopped = true;
        return done;
      },
    };
  }

  #ask(path: string): Promise<void> {
    const { port } = this.#server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port, path, agent: false, timeout: PING_LIMIT }, (res) => {
        let body = '';
        res.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk;
        });
        res.on('error', reject).on('end', () => {
          if (res.statusCode === 200 && body === 'pong') resolve();
          else reject(new Error(`${path} was answered with ${res.statusCode}: ${body}`));
        });
      });
      req.on('error', reject).on('timeout', () => req.destroy(new Error(`${path} was not answered`)));
      req.end();
    });
  }
}

const PING_PAUSE = 10;
const PING_LIMIT = 3_000;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What the promise resolves to, or `undefined` if that takes too long. */
async function within<T>(limit: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, limit, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
