/**
 * Starts the example: `node examples/app/server.js`, or with `--engine redis`, where thumbnails survive this process.
 *
 * Environment: PORT (3000; 0 for any that is free), DATA (a folder for what it writes; without it, a temporary one
 * that is removed at the end), REDIS_URL (the Redis of `--engine redis`; without it, one is started).
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import closeWithGrace from 'close-with-grace';
import { createApp } from './app.js';
import { startEngine } from './engine.js';

const SECOND = 1_000;
const { PORT = '3000', DATA, REDIS_URL } = process.env;
const { values } = parseArgs({ options: { engine: { type: 'string' } } });
if (values.engine !== undefined && values.engine !== 'redis') {
  console.error(`Expected --engine to be redis, got ${values.engine}.`);
  process.exit(2);
}

const folder = DATA ?? (await mkdtemp(join(tmpdir(), 'express-background-tasks-')));
const kept = values.engine && (await startEngine({ url: REDIS_URL, folder }));
const example = await createApp({ folder, engine: kept?.engine });
const server = example.app.listen(Number(PORT), '127.0.0.1');
try {
  await once(server, 'listening');
} catch (error) {
  console.error(`No server on port ${PORT}: ${error.message}. Name another by PORT.`);
  await end();
  process.exit(1);
}
console.log(`Listening on http://127.0.0.1:${server.address().port}, writing to ${folder}`);

closeWithGrace({ delay: 15 * SECOND }, async ({ signal, err }) => {
  if (err) console.error(err);
  console.log(`${signal ?? 'Error'}: no more requests; waiting for ${example.background.stats().backlog.size} tasks`);
  await closeServer();

  const { completed, failed, abandoned } = await example.background.close({ timeout: 10 * SECOND });
  console.log(`Tasks at the end: ${completed} completed, ${failed} failed, ${abandoned.length} abandoned`);
  for (const { name, id } of abandoned) console.log(`  abandoned: ${name} ${id}`);
  await end();
});

/** Requests that are under way may still add tasks, so this comes first. */
async function closeServer() {
  const closed = once(server, 'close');
  server.close();
  example.endStreams();
  // Node closes the connections that are idle now; the others are idle once their response has ended.
  const sweep = setInterval(() => server.closeIdleConnections(), 0.1 * SECOND);
  const patience = setTimeout(() => {
    console.log('Requests that are still under way are cut off');
    server.closeAllConnections();
  }, 2 * SECOND);
  await closed;
  clearInterval(sweep);
  clearTimeout(patience);
}

/** What the tasks wrote to, once there are none. */
async function end() {
  await example.close();
  await kept?.close();
  if (DATA === undefined) await rm(folder, { recursive: true, force: true });
}
