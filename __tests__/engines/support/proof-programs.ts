/** Web processes and workers of the engines' proof. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { atEnd } from '../../support/cleanup.ts';
import { request } from '../../support/clients.ts';
import { fixture } from '../../support/fixtures.ts';
import { type Entry, Journal } from './proof-journal.ts';

export interface ProofProgram {
  readonly pid: number;
  readonly exited: Promise<unknown>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface WebProgram extends ProofProgram {
  /** Resolves to the status, or to `undefined` if the connection is lost. */
  post(query?: string): Promise<number | undefined>;
  get<Answer>(path: string): Promise<Answer>;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly execArgv?: readonly string[];
  /** A command that becomes it, such as that of a network namespace. */
  readonly within?: readonly string[];
}

/** Programs that share an engine's store, and a journal. */
export class ProofPrograms {
  readonly journal: Journal;
  readonly #env: Readonly<Record<string, string>>;

  constructor(engine: string, options: object, journal: Journal = new Journal()) {
    this.journal = journal;
    this.#env = { ENGINE: engine, OPTIONS: JSON.stringify(options) };
  }

  async web(options: ProgramOptions = {}): Promise<WebProgram> {
    const { child, program } = this.#start('engine-web.mjs', options);
    const { port } = await this.#told(child, 'listening');
    return {
      ...program,
      post: (query = '') =>
        request(port, { method: 'POST', path: `/?${query}` }).then(
          ({ status }) => status,
          () => undefined,
        ),
      get: async (path) => JSON.parse((await request(port, { path })).body),
    };
  }

  /** Resolves when it takes tasks, or at once. */
  async worker(options: ProgramOptions & { readonly isWorking?: boolean } = {}): Promise<ProofProgram> {
    const { child, program } = this.#start('engine-worker.mjs', options);
    if (options.isWorking !== false) await this.#told(child, 'working');
    return program;
  }

  #start(file: string, { env = {}, execArgv = [], within = [] }: ProgramOptions) {
    const [command, ...args] = [...within, process.execPath, ...execArgv, fileURLToPath(fixture(file))] as [string];
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...this.#env, ...env },
    });
    let unfinished = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (unfinished + chunk).split('\n');
      unfinished = lines.pop() as string;
      for (const line of lines) this.journal.write(JSON.parse(line));
    });
    const exited = once(child, 'close');
    const kill = async (signal: NodeJS.Signals): Promise<void> => {
      child.kill(signal);
      await exited;
    };
    atEnd(() => kill('SIGKILL'));
    return { child, program: { pid: child.pid as number, exited, kill } satisfies ProofProgram };
  }

  async #told(child: ChildProcess, kind: Entry['kind']): Promise<Entry> {
    const find = (): Entry | undefined => this.journal.of(kind).find(({ pid }) => pid === child.pid);
    await Promise.race([
      this.journal.until(() => find() !== undefined),
      once(child, 'exit').then(([code]) => {
        throw new Error(`The program has ended with ${code} before it was ${kind}.`);
      }),
    ]);
    return find() as Entry;
  }
}

/** Resolves when all that was accepted has ended, and the engine has nothing left that could run again. */
export async function untilDone(journal: Journal, web: WebProgram): Promise<void> {
  await journal.until(() => journal.missing.length === 0);
  await untilNothingIsLeft(web);
}

export async function untilNothingIsLeft(web: WebProgram): Promise<void> {
  for (;;) {
    const { held, waiting, running } = await web.get<Record<'held' | 'waiting' | 'running', number>>('/engine');
    if (held + waiting + running === 0) return;
  }
}

/** Sends requests, this many at once, until it is stopped. Resolves to their statuses. */
export function load(
  web: WebProgram,
  query: string,
  concurrency: number,
): { stop(): Promise<readonly (number | undefined)[]> } {
  let isStopped = false;
  const statuses: (number | undefined)[] = [];
  const clients = Array.from({ length: concurrency }, async () => {
    while (!isStopped) statuses.push(await web.post(query));
  });
  return {
    async stop() {
      isStopped = true;
      await Promise.all(clients);
      return statuses;
    },
  };
}
