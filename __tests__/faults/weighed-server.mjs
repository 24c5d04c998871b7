/** The program of a server that commits the faults it is asked for, and says what it holds: run with --expose-gc. */
import { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { queryObjects } from 'node:v8';
import { Worker } from 'node:worker_threads';
import express from 'express';
import { backgroundTasks, blocking } from 'express-background-tasks';

const OPEN_FILES = '/proc/self/fd';
const CLOSE_TIMEOUT = 500;

const requireHere = createRequire(import.meta.url);
const urlOf = (module) => new URL(`./modules/${module}`, import.meta.url);

const background = backgroundTasks({
  logger: false,
  order: 'parallel',
  // What is kept on purpose must be full before the first batch is over.
  history: 10,
  timeout: Number.POSITIVE_INFINITY,
  // The test waits for them.
  pool: { maxThreads: 1, niceIncrement: 0 },
  processes: { maxProcesses: 1, niceIncrement: 0 },
});

const warnings = [];
process.on('warning', ({ name, message }) => {
  if (name !== 'ExperimentalWarning') warnings.push(`${name}: ${message}`);
});

/** The last response whose tasks committed a fault, until it is known how many listeners were left on it. */
let faulty;
let listenersOfResponse = 0;

const app = express();
app.use(background);
app.post('/faults', express.json(), (req, res) => {
  for (const fault of req.body) addTasks(res.locals.backgroundTasks, fault);
  faulty = res;
  res.end();
});
app.get('/hang', (_req, res) => {
  res.locals.backgroundTasks.add(taskOf('event-loop', 'tasks.cjs', 'echo'), 'to nobody');
  res.locals.backgroundTasks.add(taskOf('thread', 'tasks.cjs', 'echo'), 'to nobody');
  res.flushHeaders();
});
app.get('/weight', async (req, res) => {
  await background.idle();
  // The replacements of the dead workers must have started.
  const echoes = ['thread', 'process'].map((executor) => background.add(taskOf(executor, 'tasks.cjs', 'echo'), 1));
  for (const { settled } of echoes) await settled;
  if (faulty !== undefined) listenersOfResponse = listenersOf(faulty);
  faulty = undefined;
  const listeners = {
    'listeners of the process': listenersOf(process),
    'listeners of the server': listenersOf(server),
    'listeners of the connection': listenersOf(req.socket),
    'listeners of the response': listenersOfResponse,
  };
  // What has been closed is released one turn later, and some garbage only when other garbage is gone.
  for (let turn = 0; turn < 3; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  res.json({
    memory: heapUsed + external,
    held: {
      ...listeners,
      'open files': existsSync(OPEN_FILES) ? readdirSync(OPEN_FILES).length : 0,
      ...countAlive([echoes[0].constructor, ServerResponse, Worker, ChildProcess, MessagePort]),
    },
    warnings,
    outcomes: background.stats().outcomes,
  });
});

function addTasks(list, { executor, module, task, argument, timeout, times }) {
  const added = taskOf(executor, module, task);
  for (let time = 0; time < times; time += 1) list.with({ timeout }).add(added, argument);
}

function taskOf(executor, module, task) {
  if (executor === 'event-loop') return requireHere(fileURLToPath(urlOf(module)))[task];
  return blocking(urlOf(module), { executor })[task];
}

function listenersOf(emitter) {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
}

/** The objects of each class that have not been collected. */
function countAlive(classes) {
  return Object.fromEntries(classes.map((one) => [one.name, queryObjects(one, { format: 'count' })]));
}

const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.once('message', async () => {
  await background.close({ timeout: CLOSE_TIMEOUT });
  server.close();
  process.disconnect();
});
