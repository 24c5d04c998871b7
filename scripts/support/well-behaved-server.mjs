/** A server that is busy and never blocks: the watchdog must blame nothing. Forked by scripts/watchdog-false-positives.mjs. */
import { once } from 'node:events';
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';

/** The task at the end blocks for this many microseconds of this process's own CPU time, since a busy machine may give it little. */
const PROOF = 200_000;
/** How long its report is waited for, in milliseconds. */
const LONGEST_PROOF = 10_000;
/** How many objects are kept, so that they grow old before they are collected. */
const KEPT = 400;
const kept = [];
const counts = { requests: 0, tasks: 0, collections: 0 };

new PerformanceObserver((list) => {
  counts.collections += list.getEntries().length;
}).observe({ entryTypes: ['gc'] });

const background = backgroundTasks({ logger: false, watchdog: { threshold: Number(process.argv[2]) } });
const proved = new Promise((resolve) => {
  background.on('blocked', ({ cause, task }) => {
    if (task?.name === 'proof') resolve(cause);
  });
});

/** About a millisecond of work that leaves garbage behind. */
function chore() {
  const rows = Array.from({ length: 3_000 }, (_, id) => ({ id, title: `row ${id}` }));
  kept.push(rows);
  if (kept.length > KEPT) kept.splice(0, KEPT / 2);
  counts.tasks += 1;
}

async function choreInSteps() {
  await nextTurn();
  chore();
  await delay(1);
  chore();
}

process.once('disconnect', () => process.exit());

const app = express();
app.use(background);
app.post('/orders', async (_req, res) => {
  counts.requests += 1;
  for (const task of [chore, choreInSteps, chore]) res.locals.backgroundTasks.add(task);
  await nextTurn();
  res.json({ taken: true });
});
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
process.send({ port: server.address().port });

await once(process, 'message');
await background.idle();
const { byTask, byCause } = background.stats().blocked;
background.add(function proof() {
  const begin = process.cpuUsage();
  while (process.cpuUsage(begin).user < PROOF);
});
const proof = await Promise.race([proved, delay(LONGEST_PROOF, 'nothing', { ref: false })]);
process.send({ ...counts, byCause, byTask, proof });
