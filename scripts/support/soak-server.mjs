// The server that is soaked. It keeps its own account of its tasks, and compares the package's counts with it every second.
import express from 'express';
import { backgroundTasks, blocking } from 'express-background-tasks';
import * as functions from './soak-tasks.mjs';

const url = new URL('./soak-tasks.mjs', import.meta.url);
const tasks = { 'event-loop': functions, thread: blocking(url), process: blocking(url, { executor: 'process' }) };
const SECOND = 1_000;
/**
 * An executor that has tasks and ends none for this long is stuck: longer than a task takes with its attempts and the
 * waits between them. A single task may wait longer, behind those of a higher priority, where the machine is slow.
 */
const STANDSTILL = 30 * SECOND;
const CLOSE_TIMEOUT = 10 * SECOND;

const background = backgroundTasks({
  logger: false,
  maxBacklog: 300,
  retry: { delay: 50 },
  pool: { maxThreads: 2, resourceLimits: { maxOldGenerationSizeMb: 48 } },
  processes: { maxProcesses: 2, resourceLimits: { maxOldGenerationSizeMb: 48 } },
  context: ({ url: path }) => ({ path }),
});

/** The tasks that were added and have not settled. */
const open = new Set();
let [added, settled] = [0, 0];
const lastSettledAt = { 'event-loop': 0, thread: 0, process: 0 };
background.on('added', ({ id }) => {
  added += 1;
  open.add(id);
});
background.on('settled', ({ id, name, executor }) => {
  settled += 1;
  lastSettledAt[executor] = performance.now();
  if (!open.delete(id)) fault(`task ${name} ${id} settled twice`);
});
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error) => fault(`${event}: ${error?.stack ?? error}`));
}
process.on('warning', ({ name, message }) => fault(`${name}: ${message}`));

const app = express();
app.use(background);
app.post('/', express.json({ type: () => true }), async ({ body: { status, hold, throws, tasks: wanted } }, res) => {
  for (const task of wanted) add(res.locals.backgroundTasks, task);
  if (hold > 0) await new Promise((resolve) => setTimeout(resolve, hold));
  if (throws) throw new Error('as asked');
  res.sendStatus(status);
});
app.use((error, _req, res, _next) => {
  if (error.message !== 'as asked' && error.status !== 503) fault(`a handler: ${error.stack}`);
  res.sendStatus(error.status ?? 500);
});

function add(adder, { executor, behaviour, argument, cancelAfter, addsAnother, when, timeout, attempts, priority }) {
  const options = { when, timeout, priority, retry: { attempts }, name: behaviour };
  const handle = adder.with(options).add(tasks[executor][behaviour], argument);
  if (cancelAfter !== undefined) setTimeout(() => handle.cancel('no longer wanted'), cancelAfter);
  if (addsAnother) adder.with({ when }).add(() => void background.add(tasks.thread.succeed, argument));
}

const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
const startedAt = performance.now();

/** Checks that no task is missing, by the package's counts and by this server's own. */
function check() {
  const stats = background.stats();
  const { waiting, running, retrying } = stats;
  if (stats.added !== waiting + running + retrying + stats.settled)
    fault(`the counts do not add up: ${JSON.stringify(stats)}`);
  if (stats.added !== added || stats.settled !== settled) {
    fault(`added ${stats.added}, settled ${stats.settled}; by this server's count ${added} and ${settled}`);
  }
  if (stats.backlog.size !== open.size)
    fault(`the backlog is ${stats.backlog.size}; by this server's count ${open.size}`);
  for (const counts of Object.values(stats.executors)) {
    if (counts.waiting < 0 || counts.running < 0 || counts.retrying < 0)
      fault(`a count below zero: ${JSON.stringify(counts)}`);
  }
  for (const [name, { waiting: ready, running: busy, retrying: later }] of Object.entries(stats.executors)) {
    const hasTasks = ready + busy + later > 0;
    if (hasTasks && performance.now() - lastSettledAt[name] > STANDSTILL) {
      fault(`the executor ${name} is stuck: ${JSON.stringify(stats.executors[name])}`);
    }
  }
  return stats;
}

function sample() {
  const { settled: all, outcomes, backlog, executors } = check();
  const { rss, heapUsed } = process.memoryUsage();
  process.send({
    sample: {
      second: (performance.now() - startedAt) / SECOND,
      rss,
      heap: heapUsed,
      handles: process.getActiveResourcesInfo().length,
      threads: executors.thread.threads,
      processes: executors.process.processes,
      backlog: backlog.size,
      completed: outcomes.completed,
      otherwise: all - outcomes.completed,
    },
  });
}
const timer = setInterval(sample, SECOND);

process.on('message', async ({ end }) => {
  clearInterval(timer);
  await within(end, background.idle());
  check();
  const unsettled = [...open];
  const report = await within(2 * CLOSE_TIMEOUT, background.close({ timeout: CLOSE_TIMEOUT }));
  if (report === undefined) fault(`close() with a timeout of ${CLOSE_TIMEOUT} ms has not ended after twice that time`);
  const { completed = 0, failed = 0, abandoned = [] } = report ?? {};
  check();
  await new Promise((resolve) => server.close(resolve));
  const summary = {
    stats: background.stats(),
    unsettled,
    close: { completed, failed, abandoned: abandoned.length },
  };
  process.off('disconnect', endAlone);
  process.send({ summary }, () => process.disconnect());
});

/** The process that soaked it has ended: no one asks for the summary any more. */
function endAlone() {
  process.exit(1);
}
process.on('disconnect', endAlone);

/** Resolves to `undefined` if the promise does not settle in time. */
function within(milliseconds, event) {
  return Promise.race([event, new Promise((resolve) => setTimeout(resolve, milliseconds).unref())]);
}

function fault(text) {
  process.send({ fault: text });
}
