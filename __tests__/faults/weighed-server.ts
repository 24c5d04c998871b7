/** A server in a process of its own that commits faults in batches; what it holds is measured between them. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type ClientRequest, get, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { OutcomeState } from 'express-background-tasks';
import { EXECUTORS, type ExecutorName, FAULTS } from './table.ts';

const program = fileURLToPath(new URL('./weighed-server.mjs', import.meta.url));

/** Short: it makes no difference to what is left behind whether the task or the loading of its module is ended. */
const TIMEOUT = 50;

const LONGEST_EXCERPT = 4_000;
/** A connection may end some time before its process is known to have done so, in milliseconds. */
const LONGEST_DEATH = 2_000;

/** What the process holds when all tasks have settled and its garbage was collected. */
export interface Weight {
  /** The heap and the memory that it references, in bytes. */
  readonly memory: number;
  /** Listeners, files, and the objects of some classes: how many. */
  readonly held: Readonly<Record<string, number>>;
  /** What Node has warned of so far, such as too many listeners. */
  readonly warnings: readonly string[];
  /** Of all tasks so far. */
  readonly outcomes: Readonly<Record<OutcomeState, number>>;
}

/** Faults as the program takes them. */
interface Order {
  readonly executor: ExecutorName;
  readonly module: string;
  readonly task: string;
  readonly argument: unknown;
  readonly timeout: number | undefined;
  readonly times: number;
}

const BATCH: readonly Order[] = FAULTS.flatMap((fault) =>
  EXECUTORS.map((executor) => ({
    executor,
    module: fault.module ?? 'tasks.cjs',
    task: fault.task,
    argument: fault.argument,
    timeout: fault.timeout === undefined ? undefined : TIMEOUT,
    times: fault.repeated?.[executor] ?? 0,
  })).filter(({ times }) => times > 0),
);

export class WeighedServer {
  readonly #child: ChildProcess;
  readonly #port: number;
  /** One connection for all, so that anything that each request leaves on it adds up. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  /** The last of its errors. */
  #errors = '';
  readonly #exited: Promise<[number | null, NodeJS.Signals | null]>;

  static async start(): Promise<WeighedServer> {
    const child = fork(program, {
      execArgv: ['--expose-gc', '--no-warnings'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new WeighedServer(child, port);
  }

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.#port = port;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-LONGEST_EXCERPT);
    });
    this.#exited = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  }

  /** All faults of the table that are to be repeated, so many times each as it says, and a client that hangs up. */
  async commitBatch(): Promise<void> {
    await this.#ask('POST', '/faults', BATCH);
    await this.#hangUp();
  }

  async weigh(): Promise<Weight> {
    return JSON.parse(await this.#ask('GET', '/weight')) as Weight;
  }

  /** Resolves to the exit code: nothing may keep the process alive. */
  async close(): Promise<number | null> {
    this.#agent.destroy();
    this.#child.send('close');
    const [code] = await this.#exited;
    return code;
  }

  kill(): void {
    this.#agent.destroy();
    this.#child.kill('SIGKILL');
  }

  async #ask(method: string, path: string, body?: unknown): Promise<string> {
    const req = request({ ...this.#address(path), method, agent: this.#agent });
    if (body !== undefined) req.setHeader('Content-Type', 'application/json');
    req.end(body === undefined ? undefined : JSON.stringify(body));
    const res = await this.#responseTo(req, path);
    if (res.statusCode !== 200) throw new Error(`${path} was answered with ${res.statusCode}: ${await text(res)}`);
    return text(res);
  }

  async #hangUp(): Promise<void> {
    const req = get({ ...this.#address('/hang'), agent: false });
    const res = await this.#responseTo(req, '/hang');
    res.destroy();
  }

  async #responseTo(req: ClientRequest, path: string): Promise<IncomingMessage> {
    try {
      const [res] = (await once(req, 'response')) as [IncomingMessage];
      return res;
    } catch (cause) {
      const end = await Promise.race([this.#exited, delay(LONGEST_DEATH, undefined, { ref: false })]);
      const how = end === undefined ? 'lives' : `has ended with ${end.join(', ')}: ${this.#errors}`;
      throw new Error(`${path} was not answered, and the server ${how}`, { cause });
    }
  }

  #address(path: string): { host: string; port: number; path: string } {
    return { host: '127.0.0.1', port: this.#port, path };
  }
}
