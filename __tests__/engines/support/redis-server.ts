/** A Redis of the test's own, in a temporary folder and on a free port, that can be stopped, killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll } from '@jest/globals';
import { atEnd } from '../../support/cleanup.ts';
import { freePort, HOST, untilReady } from './child-servers.ts';

const binary: string | undefined = (process.env['PATH'] ?? '')
  .split(delimiter)
  .concat('/usr/bin', '/usr/local/bin')
  .map((folder) => join(folder, 'redis-server'))
  .find((path) => existsSync(path));

export const redisIsInstalled: boolean = binary !== undefined;

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Again, on the same port and folder. */
  start(): Promise<void>;
  /** Ends it in order, and resolves when it is gone. */
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export interface RedisOptions {
  /** Whether it keeps what it was given. By default it does. */
  readonly appendonly?: boolean;
  /** Of the command `redis-server`, such as `['--maxmemory-policy', 'allkeys-lru']`. */
  readonly args?: readonly string[];
  /** `file`: it is there until the last test of the file has ended. */
  readonly until?: 'test' | 'file';
}

const untilFileEnds: (() => Promise<void>)[] = [];

// Jest takes hooks only while a file is read.
afterAll(async () => {
  for (const end of untilFileEnds.splice(0)) await end();
});

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { appendonly = true, args = [], until = 'test' } = options;
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-redis-'));
  const port = await freePort();
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    child = spawn(
      binary as string,
      ['--port', String(port), '--bind', HOST, '--save', '', '--appendonly', appendonly ? 'yes' : 'no', ...args],
      { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] },
    );
    await untilReady(child, 'stdout');
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ended = child;
    child = undefined;
    if (ended === undefined || ended.exitCode !== null || ended.signalCode !== null) return;
    const exit = once(ended, 'exit');
    ended.kill(signal);
    await exit;
  }

  const remove = async (): Promise<void> => {
    await end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  if (until === 'file') untilFileEnds.push(remove);
  else atEnd(remove);
  await start();
  return {
    url: `redis://${HOST}:${port}`,
    port,
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}
