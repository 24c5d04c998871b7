/** `--engine redis`: a Redis, and a worker beside the server. Both go on if the server is killed: that is what they are for. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HOST = '127.0.0.1';
const REGISTRY = fileURLToPath(new URL('./tasks/registry.js', import.meta.url));
const COMMAND = fileURLToPath(new URL('../../dist/esm/cli/main.js', import.meta.url));

/**
 * @param url of a Redis that is there; without it, one is started that keeps its tasks in `folder`
 * @returns the engine for `backgroundTasks`, and `close()`, for when the server's own tasks have ended
 */
export async function startEngine({ url, folder }) {
  // Imported here: whoever runs the example without an engine need not have its packages.
  const { bullmq } = await import('express-background-tasks/bullmq');
  const redis = url === undefined ? await startRedis(join(folder, 'redis')) : { url, end: async () => {} };
  const worker = spawn(process.execPath, [COMMAND, 'work', REGISTRY], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, BACKGROUND_TASKS_ENGINE: redis.url },
  });
  console.log(`Tasks are kept by Redis at ${redis.url}; the worker is process ${worker.pid}. Another one:`);
  console.log(
    `  BACKGROUND_TASKS_ENGINE=${redis.url} npx express-background-tasks work examples/app/tasks/registry.js`,
  );
  return {
    engine: bullmq({ connection: redis.url }),
    async close() {
      await end(worker);
      await redis.end();
    },
  };
}

async function startRedis(folder) {
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const redis = spawn(
    'redis-server',
    ['--port', String(port), '--bind', HOST, '--dir', folder, '--save', '', '--appendonly', 'yes'],
    { stdio: 'ignore' },
  );
  await once(redis, 'spawn').catch(() => {
    throw new Error('There is no redis-server here. Install Redis, or name one that runs by REDIS_URL.');
  });
  return { url: `redis://${HOST}:${port}`, end: () => end(redis) };
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
