/** A Postgres of the test's own, in a temporary folder and on a free port, that can be stopped, killed and started again. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from '@jest/globals';
import { atEnd } from '../../support/cleanup.ts';
import { isAlive, untilGone } from '../../support/process-ids.ts';
import { freePort, HOST, untilReady } from './child-servers.ts';

const run = promisify(execFile);

const DEBIAN = '/usr/lib/postgresql';
const GONE_WITHIN = 20_000;

/** The folder with `initdb` and `postgres`, or `undefined` where there is none. */
const binaries: string | undefined = [
  ...(process.env['PATH'] ?? '').split(delimiter),
  ...entriesOf(DEBIAN).map((version) => join(DEBIAN, version, 'bin')),
].find((folder) => entriesOf(folder).includes('initdb') && entriesOf(folder).includes('postgres'));

export const postgresIsInstalled: boolean = binaries !== undefined;

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** Ends connections, and resolves when it is gone. */
  stop(): Promise<void>;
  /** Kills it and all that it has started, at once. */
  kill(): Promise<void>;
}

export interface PostgresOptions {
  /** Of the command `postgres`, such as `['-c', 'max_connections=20']`. */
  readonly args?: readonly string[];
  /** `file`: it is there until the last test of the file has ended. */
  readonly until?: 'test' | 'file';
}

let template: Promise<string> | undefined;
const folders: string[] = [];
const ofFile: PostgresServer[] = [];

afterAll(async () => {
  for (const server of ofFile.splice(0)) await server.kill();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export async function startPostgres({ args = [], until = 'test' }: PostgresOptions = {}): Promise<PostgresServer> {
  template ??= makeTemplate();
  const folder = makeFolder();
  await run('cp', ['-a', await template, join(folder, 'data')]);
  const port = await freePort();
  const server = makeServer(folder, port, args);
  if (until === 'file') ofFile.push(server);
  else atEnd(() => server.kill());
  await server.start();
  return server;
}

function makeServer(folder: string, port: number, args: readonly string[]): PostgresServer {
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const started = spawn(
      program('postgres'),
      ['-D', join(folder, 'data'), '-p', String(port), '-k', folder, '-c', `listen_addresses=${HOST}`, ...args],
      { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], ...unprivileged() },
    );
    child = started;
    await untilReady(started, 'stderr');
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ended = child;
    child = undefined;
    if (ended?.pid === undefined || ended.exitCode !== null || ended.signalCode !== null) return;
    const exit = once(ended, 'exit');
    // Its children outlive it for a moment, and another one can't start until they are gone.
    const children = childrenOf(ended.pid);
    ended.kill(signal);
    if (signal === 'SIGKILL') for (const pid of children) if (isAlive(pid)) process.kill(pid, signal);
    await exit;
    for (const pid of children) await untilGone(pid, GONE_WITHIN);
  }

  return {
    url: `postgres://postgres@${HOST}:${port}/postgres`,
    port,
    start,
    stop: () => end('SIGINT'),
    kill: () => end('SIGKILL'),
  };
}

async function makeTemplate(): Promise<string> {
  const folder = join(makeFolder(), 'template');
  await run(program('initdb'), ['-D', folder, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'], {
    cwd: tmpdir(),
    ...unprivileged(),
  });
  return folder;
}

function program(name: string): string {
  return join(binaries as string, name);
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-postgres-'));
  folders.push(folder);
  const { uid, gid } = unprivileged();
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
  return folder;
}

/** Postgres refuses to run as root. */
function unprivileged(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const [, uid, gid] = /^(?:postgres|nobody):[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

function childrenOf(pid: number): number[] {
  return entriesOf('/proc')
    .map(Number)
    .filter((child) => child > 0 && parentOf(child) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}
