/** A program that starts a server, in a process of its own: requests go over real sockets, its output is read. */
import { type ChildProcess, fork, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { atEnd } from './cleanup.ts';
import { News } from './news.ts';

export interface Program {
  readonly output: string;
  /** Resolves to the match as soon as what was printed matches; rejects if the program ends before that. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves to the exit code. */
  readonly exited: Promise<number | null>;
}

export interface ServerProgram extends Program {
  readonly port: number;
}

/** Runs Node with these arguments, until the test ends at the latest. */
export function startProgram(args: readonly string[], options: SpawnOptions = {}): Program {
  return heardAs(spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }));
}

function heardAs(child: ChildProcess): Program {
  const heard = listenTo(child);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  atEnd(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    get output() {
      return heard.output;
    },
    until: heard.until,
    kill: (signal) => void child.kill(signal),
    exited,
  };
}

/** Gives the program a free port, whichever it asks for, and prints it. */
const ANY_PORT = `data:text/javascript,${encodeURIComponent(`
  import { Server } from 'node:net';
  const { listen } = Server.prototype;
  Server.prototype.listen = function (...args) {
    this.once('listening', () => process.send({ port: this.address().port }));
    return listen.call(this, 0, '127.0.0.1', ...args.filter((arg) => typeof arg === 'function'));
  };
`)}`;

export async function startServerProgram(file: string, cwd: string): Promise<ServerProgram> {
  const child = fork(file, { cwd, silent: true, execArgv: ['--import', ANY_PORT] });
  const program = heardAs(child);
  const port = await Promise.race([
    once(child, 'message').then(([message]) => (message as { port: number }).port),
    program.exited.then((code) => {
      throw new Error(`${file} exited with ${code} before it listened: ${program.output}`);
    }),
  ]);
  return Object.defineProperty(program, 'port', { value: port }) as ServerProgram;
}

function listenTo(child: ChildProcess): Pick<Program, 'until'> & { output: string } {
  const news = new News();
  let hasEnded = false;
  const heard = {
    output: '',
    until: (pattern: RegExp) =>
      news.until(() => {
        const match = pattern.exec(heard.output);
        if (match === null && hasEnded) throw new Error(`The program ended without ${pattern}: ${heard.output}`);
        return match ?? undefined;
      }),
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      heard.output += chunk.toString();
      news.came();
    });
  }
  child.once('close', () => {
    hasEnded = true;
    news.came();
  });
  return heard;
}
