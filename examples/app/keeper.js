/**
 * What runs beside the server with `--engine redis`: a worker, and a Redis if REDIS_URL names none.
 *
 * The server starts this file as a process in a group of its own, since a terminal sends Ctrl-C to every process of the
 * server's group at once. The channel between the two closes when the server closes it, or is killed: then the worker ends
 * in order, and after it Redis, which the worker needs until then.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const HOST = '127.0.0.1';
const REGISTRY = fileURLToPath(new URL('./tasks/registry.js', import.meta.url));
const COMMAND = fileURLToPath(new URL('../../dist/esm/cli/main.js', import.meta.url));

// As in server.js: the reader of the output may be gone.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

// A URL may have a password in it: it is neither in an argument, which every user can see, nor printed.
const given = process.env.REDIS_URL;
const [folder] = process.argv.slice(2);
const asked = once(process, 'disconnect');
let isEnding = false;

const redis = given ? undefined : await startRedis();
const url = given || redis.url;
const worker = spawn(process.execPath, [COMMAND, 'work', REGISTRY], {
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, BACKGROUND_TASKS_ENGINE: url },
});
tellOfEnd(worker, 'The worker', 'Thumbnails wait in Redis for another one.');

const [command, registry] = [COMMAND, REGISTRY].map((path) => relative(process.cwd(), path));
const where = redis ? `Redis (process ${redis.pid})` : 'Your Redis';
console.log(`${where} keeps the thumbnails' tasks, and a worker (process ${worker.pid}) runs them. Another worker:`);
console.log(`  BACKGROUND_TASKS_ENGINE="${given ? '$REDIS_URL' : url}" node ${command} work ${registry}`);
// With a callback, since the server may be gone: what was started here still has to be ended.
process.send({ url }, () => {});

await asked;
isEnding = true;
await end(worker);
if (redis) await end(redis);

async function startRedis() {
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const options = { port, bind: HOST, dir: folder, save: '', appendonly: 'yes' };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let log = '';
  const ready = new Promise((resolve) => {
    child.stdout.on('data', (text) => {
      log = `${log}${text}`.slice(-2_000);
      if (log.includes('Ready to accept connections')) resolve();
    });
  });
  const ended = once(child, 'close').then(() => {
    throw new Error(log.trim().split('\n').at(-1));
  });
  await Promise.race([ready, ended]).catch(({ message }) => {
    console.error(
      `Expected redis-server to start, got: ${message}. Install Redis, or set REDIS_URL to one that is running.`,
    );
    process.exit(1);
  });
  tellOfEnd(child, 'Redis', 'Uploads are refused from now on.');
  return Object.assign(child, { url: `redis://${HOST}:${port}` });
}

function tellOfEnd(child, who, consequence) {
  child.once('exit', (code, signal) => {
    if (!isEnding) console.error(`${who} has ended (${signal ?? `exit code ${code}`}). ${consequence}`);
  });
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
