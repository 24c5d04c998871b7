// `node scripts/shutdown-under-load.mjs [--rounds N] [--seed S] [--json FILE] [--group]`
// A server under load from this process gets SIGTERM at a random moment, over and over. Whatever a client was told was
// accepted must be in the journal that the tasks write, or in the report of close() as abandoned, with its arguments;
// and close() must be over when its timeout is, and the server exit by itself, with code 0. With --group the signal goes to the server's
// child processes as well, as a terminal and systemd send it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeRandom } from './support/random.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    json: { type: 'string' },
    group: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('Expected --rounds to be a whole number from 1.');
if (!Number.isInteger(seed)) throw new Error('Expected --seed to be a whole number.');

const server = fileURLToPath(new URL('../__tests__/fixtures/shutdown-server.mjs', import.meta.url));
const CLIENTS = 12;
/** The server's patience with requests that are under way, in milliseconds. */
const PATIENCE = 1_000;
/** How long `close` may take beyond its timeout on a busy machine, in milliseconds. */
const MOST_CLOSE_OVERRUN = 1_000;
/** What the system may need in addition: to deliver the signal, and to end the process. */
const SLACK = 3_000;
/** After this time a server that has not exited counts as one that never will. */
const NEVER = 30_000;

const folder = mkdtempSync(join(tmpdir(), 'shutdown-under-load-'));
const results = [];
console.log(`seed ${seed}`);
try {
  for (let round = 1; round <= rounds; round += 1) {
    const result = await runRound(round);
    results.push(result);
    for (const fault of result.faults) console.log(`round ${round}: ${fault}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const sum = (key) => results.reduce((total, result) => total + result[key], 0);
const most = (key) => Math.max(...results.map((result) => result[key]));
const faulty = results.filter(({ faults }) => faults.length > 0).length;
console.log(
  `${rounds} rounds, ${sum('accepted')} tasks accepted: ${sum('journalled')} done, ${sum('abandoned')} named as abandoned, with their arguments, ` +
    `${sum('lost')} lost, ${sum('doubled')} done twice; ${sum('refused')} requests refused; ` +
    `close took at most ${most('closeOverrunMs')} ms beyond its timeout; ` +
    `exit at most ${most('exitMs')} ms after SIGTERM, and ${most('overrunMs')} ms beyond close and the patience with requests; rounds with faults ${faulty}`,
);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ seed, results }, undefined, 2)}\n`);
process.exitCode = faulty === 0 ? 0 : 1;

async function runRound(round) {
  const random = makeRandom(seed * 1_000 + round);
  const timeout = random.pick([150, 400, 1_000, 5_000]);
  const moment = random.chance(0.2) ? random.integer(0, 30) : random.integer(30, 900);
  const journal = join(folder, `journal-${round}`);
  const report = join(folder, `report-${round}`);

  const together = random.chance(0.3);
  const options = { journal, report, timeout, patience: PATIENCE, together };
  const child = spawn(process.execPath, [server, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: values.group,
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const exited = once(child, 'exit');
  // Its output ends when the last of its own child processes has closed it.
  const allGone = once(child, 'close');
  const port = await portOf(child);

  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const load = { random, port, agent, isOver: false, tasks: [], refused: 0, hungUp: 0 };
  const clients = Array.from({ length: CLIENTS }, () => askUntilOver(load));
  await delay(moment);

  const signalledAt = performance.now();
  process.kill(values.group ? -child.pid : child.pid, 'SIGTERM');
  const end = await Promise.race([exited, delay(NEVER, undefined, { ref: false })]);
  const exitMs = Math.round(performance.now() - signalledAt);
  if (end === undefined) child.kill('SIGKILL');
  const areAllGone = await Promise.race([allGone.then(() => true), delay(SLACK, false, { ref: false })]);
  load.isOver = true;
  await Promise.all(clients);
  agent.destroy();

  const told = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined;
  const lines = existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').filter(Boolean) : [];
  const done = new Set(lines);
  const abandoned = new Map(told?.abandoned.map((outcome) => [outcome.id, outcome]));
  const undone = load.tasks.filter(({ id }) => !done.has(id));
  const lost = undone.filter(({ id }) => !abandoned.has(id));
  const misnamed = undone.filter((task) => abandoned.has(task.id) && !isNamed(task, abandoned.get(task.id)));
  const closeMs = Math.round(told?.closeMs ?? 0);
  const closeOverrunMs = Math.max(0, closeMs - timeout);
  const overrunMs = Math.max(0, exitMs - timeout - closeOverrunMs - PATIENCE);

  const faults = [];
  const [code, signal] = end ?? [];
  if (end === undefined) faults.push(`did not exit within ${NEVER} ms`);
  else if (code !== 0) faults.push(`exited with ${code ?? signal}`);
  if (errors !== '') faults.push(`wrote to stderr: ${errors.trim()}`);
  if (!areAllGone) faults.push('left a process behind');
  if (closeOverrunMs > MOST_CLOSE_OVERRUN) faults.push(`close took ${closeMs} ms, with a timeout of ${timeout} ms`);
  if (overrunMs > SLACK) faults.push(`exited ${exitMs} ms after SIGTERM, with a timeout of ${timeout} ms`);
  if (lost.length > 0)
    faults.push(`lost ${lost.map(({ id, executor, name }) => `${name} ${id} (${executor})`).join(', ')}`);
  if (misnamed.length > 0) faults.push(`${misnamed.length} abandoned tasks are not reported with name and arguments`);
  if (done.size < lines.length) faults.push(`${lines.length - done.size} tasks were done twice`);
  if (told === undefined) faults.push('wrote no report');
  else {
    const { stats, failed } = told;
    if (stats.added !== stats.settled) faults.push(`added ${stats.added}, settled ${stats.settled}`);
    // Every task succeeds at its last attempt: one that failed was harmed by the shutdown.
    if (failed > 0 || stats.outcomes.failed > 0) faults.push(`${stats.outcomes.failed} tasks failed`);
    if (stats.outcomes.abandoned !== abandoned.size) faults.push('the report does not name every abandoned task');
  }
  return {
    round,
    timeout,
    together,
    moment,
    accepted: load.tasks.length,
    journalled: load.tasks.length - undone.length,
    abandoned: undone.length - lost.length,
    lost: lost.length,
    doubled: lines.length - done.size,
    refused: load.refused,
    hungUp: load.hungUp,
    closeMs,
    closeOverrunMs,
    exitMs,
    overrunMs,
    faults,
  };
}

/** Whether the report says enough to do the task's work again. Its first argument is the journal. */
function isNamed({ name, argument }, outcome) {
  return outcome.name === name && outcome.arguments.length === 2 && outcome.arguments[1] === String(argument);
}

async function portOf({ stdout }) {
  const lines = createInterface({ input: stdout });
  const [line] = await once(lines, 'line');
  // Later output is discarded; it must not fill the pipe.
  lines.close();
  stdout.resume();
  return Number(/^listening (\d+)$/.exec(line)[1]);
}

/** One client: it sends its next request when it has its answer, and ends when the server no longer answers. */
async function askUntilOver(load) {
  while (!load.isOver) {
    try {
      const plan = planRequest(load.random);
      const { status, body } = await post(load, plan);
      if (status === 202) load.tasks.push(...JSON.parse(body).ids.map((id, index) => ({ id, ...plan.wanted[index] })));
      else if (status === 503) load.refused += 1;
      else throw new Error(`answered with ${status}`);
    } catch (error) {
      if (error.code === undefined) throw error;
      load.hungUp += 1;
      if (error.code === 'ECONNREFUSED') return;
    }
    await delay(load.random.integer(0, 20));
  }
}

function post({ port, agent }, plan) {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, agent, method: 'POST', path: '/tasks' }, (res) => {
      let body = '';
      res.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      res.on('end', () => resolve({ status: res.statusCode, body }));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.setHeader('Content-Type', 'application/json');
    req.end(JSON.stringify(plan));
  });
}

function planRequest(random) {
  return {
    hold: random.chance(0.2) ? random.integer(1, 150) : 0,
    wanted: Array.from({ length: random.integer(1, 3) }, () => planTask(random)),
  };
}

function planTask(random) {
  const executor = random.pick(['event-loop', 'event-loop', 'event-loop', 'thread', 'thread', 'thread', 'process']);
  const retry = { attempts: 3 };
  const isBlocking = executor !== 'event-loop';
  const name = random.pick([
    'quick',
    'quick',
    'rest',
    'stumble',
    ...(isBlocking ? ['compute', 'compute'] : []),
    ...(isBlocking && random.chance(0.1) ? ['crash'] : []),
  ]);
  switch (name) {
    case 'rest':
    case 'compute':
      return { executor, name, argument: random.integer(1, name === 'rest' ? 120 : 25), retry };
    case 'stumble':
      return { executor, name, argument: random.integer(2, 3), retry };
    default:
      return { executor, name, retry };
  }
}
