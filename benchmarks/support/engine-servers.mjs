// Redis and Postgres for the engine benchmarks: in temporary folders, on free ports, ended when the row has been measured.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const HOST = '127.0.0.1';
const DEBIAN = '/usr/lib/postgresql';

const folders = (process.env.PATH ?? '').split(delimiter);
const redis = folders.map((folder) => join(folder, 'redis-server')).find(existsSync);
const postgres = [
  ...folders,
  ...(existsSync(DEBIAN) ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, 'bin')) : []),
].find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));

export const noRedis = redis === undefined ? 'redis-server is not installed' : undefined;
const noPostgres = postgres === undefined ? 'Postgres is not installed' : undefined;
const [major, minor] = process.versions.node.split('.').map(Number);
const nodeIsOld = major < 22 || (major === 22 && minor < 12);
export const noPgBoss = nodeIsOld ? 'pg-boss needs Node 22.12' : noPostgres;

/** The environment variable in which sides find the URL of their row's server. */
export const URL_VARIABLE = 'BENCH_ENGINE_URL';

/** @param startServer `() => { url, end }` */
export async function withServer(startServer, body) {
  const server = await startServer();
  process.env[URL_VARIABLE] = server.url;
  try {
    return await body();
  } finally {
    await server.end();
  }
}

/** Synced to disk every second, the usual setting. Resolves to `{ url, end }`. */
export async function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-bench-redis-'));
  const port = await freePort();
  const args = ['--port', port, '--bind', HOST, '--dir', folder, '--save', '', '--appendonly', 'yes'];
  const server = spawn(redis, args.map(String), { stdio: ['ignore', 'pipe', 'ignore'] });
  await said(server.stdout, /Ready to accept connections/);
  return { url: `redis://${HOST}:${port}`, end: () => end(server, folder) };
}

/** With its own defaults. */
export async function startPostgres() {
  const folder = mkdtempSync(join(tmpdir(), 'background-tasks-bench-postgres-'));
  const user = unprivileged();
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  execFileSync(join(postgres, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust'], {
    stdio: 'ignore',
    cwd: folder,
    ...user,
  });
  const port = await freePort();
  const server = spawn(join(postgres, 'postgres'), ['-D', data, '-p', String(port), '-k', folder, '-h', HOST], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: folder,
    ...user,
  });
  await said(server.stderr, /ready to accept connections/);
  return { url: `postgres://postgres@${HOST}:${port}/postgres`, end: () => end(server, folder) };
}

async function said(stream, pattern) {
  for await (const chunk of stream.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    if (pattern.test(chunk)) break;
  }
  stream.resume();
}

async function end(server, folder) {
  const exit = once(server, 'exit');
  server.kill('SIGINT');
  await exit;
  rmSync(folder, { recursive: true, force: true });
}

/** Postgres refuses to run as root. */
function unprivileged() {
  if (process.getuid?.() !== 0) return {};
  const [, uid, gid] = /^(?:postgres|nobody):[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
