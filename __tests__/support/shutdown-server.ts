/** The server of fixtures/shutdown-server.mjs in a process of its own, and what it leaves behind when it is shut down. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { atEnd } from './cleanup.ts';
import { fixture } from './fixtures.ts';
import { News } from './news.ts';

export interface WantedTask {
  readonly executor: 'event-loop' | 'thread' | 'process';
  readonly name: 'quick' | 'rest' | 'compute' | 'stumble' | 'crash';
  readonly argument?: number;
  readonly retry?: { readonly attempts?: number; readonly delay?: number; readonly jitter?: number };
}

export interface AbandonedTask {
  readonly id: string;
  readonly name: string;
  readonly attempts: number;
  readonly arguments: readonly string[];
}

export interface Report {
  readonly completed: number;
  readonly failed: number;
  readonly abandoned: readonly AbandonedTask[];
}

export interface ShutdownServer {
  /** Resolves to the ids of the tasks, when the response has come. */
  add(...tasks: readonly WantedTask[]): Promise<string[]>;
  /** Resolves when it has printed this line, or has done so already: `started rest thread`, `retrying stumble process`. */
  until(line: string): Promise<void>;
  /** To the server alone, or to its child processes as well. */
  signal(signal: NodeJS.Signals, to?: 'server' | 'group'): void;
  /** Resolves when it and its child processes are gone: to the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  report(): Report;
  /** The ids of the tasks that did their work. */
  journal(): string[];
}

const program = fileURLToPath(fixture('shutdown-server.mjs'));

export async function startShutdownServer({ timeout }: { timeout: number }): Promise<ShutdownServer> {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-shutdown-'));
  const journal = join(folder, 'journal');
  const report = join(folder, 'report.json');
  const child = spawn(process.execPath, [program, JSON.stringify({ journal, report, timeout })], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const pid = child.pid as number;
  // Its output ends when the last of its child processes has closed it.
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  atEnd(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });

  const lines = new Set<string>();
  const news = new News();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.add(line);
    news.came();
  });
  const tooEarly = ended.then((end) => {
    throw new Error(`the server ended with ${end}`);
  });
  // Most tests have heard all that they wait for by then.
  tooEarly.catch(() => {});
  const first = (isWanted: (line: string) => boolean): Promise<string> =>
    Promise.race([news.until(() => [...lines].find(isWanted)), tooEarly]);

  const port = (await first((line) => line.startsWith('listening'))).split(' ')[1];
  return {
    ended,
    async add(...wanted) {
      const response = await fetch(`http://127.0.0.1:${port}/tasks`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Connection: 'close' },
        body: JSON.stringify({ hold: 0, wanted }),
      });
      if (response.status !== 202) throw new Error(`the request was answered with ${response.status}`);
      return ((await response.json()) as { ids: string[] }).ids;
    },
    until: async (wanted) => void (await first((line) => line === wanted)),
    signal: (signal, to = 'server') => void process.kill(to === 'group' ? -pid : pid, signal),
    report: () => JSON.parse(readFileSync(report, 'utf8')) as Report,
    journal: () => (existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').filter(Boolean) : []),
  };
}
