// How much memory durable tasks take in Redis, as the table in docs/operating.md: `node scripts/redis-memory.mjs redis://127.0.0.1:6379`.
// The Redis must be empty, and is empty again afterwards. Nobody else may use it meanwhile.
import { backgroundTasks, createWorker } from 'express-background-tasks';
import { bullmq } from 'express-background-tasks/bullmq';
import { Redis } from 'ioredis';
import { sizes } from './support/redis-memory-tasks.mjs';

const COUNT = 10_000;
/** Tasks that are added at once. */
const TOGETHER = 500;
/** For as long as this after the last command, Redis may still be freeing memory. */
const CALM = 500;

const [, , url] = process.argv;
if (url === undefined) throw new Error('Expected the URL of an empty Redis, got none.');
const redis = new Redis(url);
if ((await redis.dbsize()) > 0) throw new Error('Expected an empty Redis, got one with keys.');

console.log('| the arguments are | waiting | completed | failed |\n| --- | --- | --- | --- |');
for (const [what, text] of [
  ['a number', []],
  ['a number, and a text of 1 KiB', ['x'.repeat(2 ** 10)]],
  ['a number, and a text of 10 KiB', ['x'.repeat(10 * 2 ** 10)]],
]) {
  const completed = await measure(sizes.succeed, text);
  const failed = await measure(sizes.fail, text);
  console.log(`| ${[what, completed.waiting, completed.ended, failed.ended].join(' | ')} |`);
}
redis.disconnect();

/** The bytes for each task. */
async function measure(task, text) {
  const background = backgroundTasks({ engine: bullmq({ connection: url }), maxBacklog: COUNT, logger: false });
  await background.ready();
  const empty = await used();
  for (let added = 0; added < COUNT; added += TOGETHER) {
    const handles = Array.from({ length: TOGETHER }, (_, index) => background.add(task, added + index, ...text));
    await Promise.all(handles.map((handle) => handle.accepted));
  }
  const waiting = await used();
  await runAll();
  const ended = await used();
  await background.close();
  await redis.flushdb();
  const each = (bytes) => Math.round((bytes - empty) / COUNT).toLocaleString('en');
  return { waiting: each(waiting), ended: each(ended) };
}

async function runAll() {
  const worker = await createWorker({ engine: bullmq({ connection: url }), concurrency: 100, logger: false });
  let left = COUNT;
  while (left > 0) {
    await pause(CALM);
    const { waiting, running } = await worker.engineStats();
    left = waiting + running;
  }
  await worker.close();
}

async function used() {
  await pause(CALM);
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))[1]);
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
