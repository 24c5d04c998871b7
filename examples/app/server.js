/**
 * Starts the example: `node examples/app/server.js`, or with `--engine redis`, where thumbnails survive this process.
 *
 * Environment: PORT (3000; 0 for any that is free), DATA (a folder for what it writes; without it, a temporary one
 * that is removed at the end), REDIS_URL (the Redis of `--engine redis`; without it, one is started).
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import closeWithGrace from 'close-with-grace';
import { createApp } from './app.js';
import { startEngine } from './engine.js';

const SECOND = 1_000;
const SIGNALS = ['SIGINT', 'SIGTERM'];
const { PORT = '3000', DATA, REDIS_URL } = process.env;
const args = process.argv.slice(2).join(' ');
if (!['', '--engine redis', '--engine=redis'].includes(args)) {
  misused(`no arguments or --engine redis, got ${args}. Try: npm start -- --engine redis`);
}
if (args && REDIS_URL && !/^rediss?:\/\//.test(REDIS_URL)) {
  const shown = REDIS_URL.replace(/^.*@/, '…@');
  misused(`REDIS_URL to begin with redis:// or rediss://, got ${shown}. Try: REDIS_URL=redis://127.0.0.1:6379`);
}
// The reader of the output may be gone first, as `tee` is after Ctrl-C in `npm start | tee log`.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const folder = DATA ? resolve(DATA) : await mkdtemp(join(tmpdir(), 'express-background-tasks-'));
const kept = args ? await startEngine({ folder }) : undefined;
if (args && !kept) {
  await removeFolder();
  process.exit(1);
}
let example;
let server;
try {
  example = await createApp({ folder, engine: kept?.engine });
  server = example.app.listen(Number(PORT), '127.0.0.1');
  await once(server, 'listening');
} catch (error) {
  const { message } = error.cause ?? error;
  console.error(
    `The server did not start on port ${PORT}, with its data in ${folder}: ${message}. Set PORT and DATA to change these.`,
  );
  await end();
  process.exit(1);
}

// Ctrl-C reaches npm and the server, and npm passes its signal on: a second signal within a second is the same one.
let ending;
const { close } = closeWithGrace({ delay: 15 * SECOND, skip: SIGNALS }, async ({ signal = ending?.signal, err }) => {
  if (err) console.error(err);
  console.log(`${signal ?? 'Error'}: no more requests; waiting for ${example.background.stats().backlog.size} tasks`);
  await closeServer();

  const { completed, failed, abandoned } = await example.background.close({ timeout: 10 * SECOND });
  console.log(`Tasks at the end: ${completed} completed, ${failed} failed, ${abandoned.length} abandoned`);
  for (const { name, id } of abandoned) console.log(`  abandoned: ${name} ${id}`);
  await end();
});
for (const signal of SIGNALS) process.on(signal, () => endBy(signal));
console.log(`Listening on http://127.0.0.1:${server.address().port}, writing to ${folder} (process ${process.pid})`);

function endBy(signal) {
  const now = performance.now();
  if (ending && now - ending.since > SECOND) process.exit(1);
  if (ending) return;
  ending = { signal, since: now };
  close();
}

/** Requests that are under way may still add tasks, so this comes first. */
async function closeServer() {
  const closed = once(server, 'close');
  server.close();
  example.endStreams();
  // server.close() closes the connections that are idle now; the others become idle when their response has ended.
  const sweep = setInterval(() => server.closeIdleConnections(), 0.1 * SECOND);
  const patience = setTimeout(() => {
    console.log('Cutting off the requests that are still under way');
    server.closeAllConnections();
  }, 2 * SECOND);
  await closed;
  clearInterval(sweep);
  clearTimeout(patience);
}

/** Closes what the tasks write to, when none is left. */
async function end() {
  await example?.close();
  await kept?.close();
  await removeFolder();
}

async function removeFolder() {
  if (!DATA) await rm(folder, { recursive: true, force: true });
}

function misused(expected) {
  console.error(`Expected ${expected}`);
  process.exit(2);
}
