/** A program that starts a server, in a process of its own: asked over real sockets, heard by what it prints. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { atEnd } from './cleanup.ts';

export interface ServerProgram {
  readonly port: number;
  readonly output: string;
  /** Resolves to the match as soon as what was printed matches; rejects if the program ends before that. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves to the exit code. */
  readonly exited: Promise<number | null>;
}

/** Whatever port the program asks for, it is given one that is free, and says which. */
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
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  atEnd(async () => {
    child.kill('SIGKILL');
    await exited;
  });

  const heard = listenTo(child);
  const port = await Promise.race([
    once(child, 'message').then(([message]) => (message as { port: number }).port),
    exited.then((code) => {
      throw new Error(`${file} exited with ${code} before it listened: ${heard.output}`);
    }),
  ]);
  return {
    port,
    get output() {
      return heard.output;
    },
    until: heard.until,
    kill: (signal) => void child.kill(signal),
    exited,
  };
}

function listenTo(child: ChildProcess): Pick<ServerProgram, 'until'> & { output: string } {
  const checks = new Set<() => void>();
  const heard = {
    output: '',
    until: (pattern: RegExp) =>
      new Promise<RegExpExecArray>((resolve, reject) => {
        const check = (): void => {
          const match = pattern.exec(heard.output);
          if (match !== null) resolve(match);
          else if (hasEnded) reject(new Error(`The program ended without ${pattern}: ${heard.output}`));
          else return;
          checks.delete(check);
        };
        checks.add(check);
        check();
      }),
  };
  let hasEnded = false;
  const checkAll = (): void => {
    for (const check of [...checks]) check();
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      heard.output += chunk.toString();
      checkAll();
    });
  }
  child.once('close', () => {
    hasEnded = true;
    checkAll();
  });
  return heard;
}
