// `npm run soak -- --minutes N [--seed S] [--svg FILE]`
// A server with tasks in every executor is under mixed load for minutes, while faults are injected at random: tasks that
// throw, hang, exit, loop, fill their memory or kill their process, clients that hang up, handlers that fail. Every second
// the tasks must add up. At the end every task must have settled, once, and in a run of some minutes memory must have stayed flat.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plot } from '../benchmarks/support/plot.mjs';
import { makeRandom } from './support/random.mjs';
import { makePlan } from './support/soak-plan.mjs';
import { growthOf } from './support/trend.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    svg: { type: 'string', default: 'soak.svg' },
    json: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes >= 1)) throw new Error('Expected --minutes to be at least 1.');
if (!Number.isInteger(seed)) throw new Error('Expected --seed to be a whole number.');

/** Memory is flat if the line through its samples after warm-up rises, over all of them, by less than this part of their median. */
const MOST_GROWTH = 0.1;
/** Handles come and go with connections and workers: a larger rise than this, over all samples after warm-up, is a leak. */
const MOST_NEW_HANDLES = 5;
/** In minutes. A shorter run is mostly warm-up: growth is printed, but does not count as a fault. */
const SHORTEST_JUDGED = 5;
/** Warm-up is the first third of the run, and at least this many seconds. */
const WARM_UP_PART = 1 / 3;
const SHORTEST_WARM_UP = 30;
const REQUESTS_PER_SECOND = 25;
/** Time for the tasks accepted at the very end: longer than every timeout, retry and restart. */
const PATIENCE = 60_000;
const MEGABYTE = 2 ** 20;

console.log(`soak of ${minutes} min, seed ${seed}, Node ${process.versions.node}`);
const random = makeRandom(seed);
const server = fork(fileURLToPath(new URL('support/soak-server.mjs', import.meta.url)), { serialization: 'advanced' });
const exited = once(server, 'exit');
const samples = [];
const faults = [];
const port = await new Promise((resolve, reject) => {
  server.on('message', (message) => {
    if (message.port !== undefined) resolve(message.port);
    else if (message.sample !== undefined) samples.push(message.sample);
    else if (message.fault !== undefined) faults.push(message.fault);
  });
  exited.then(([code, signal]) => reject(new Error(`The server ended with ${code ?? signal}.`)));
});

const counts = { requests: 0, accepted: 0, refused: 0, failed: 0, hungUp: 0, lostAnswers: 0 };
const startedAt = performance.now();
const end = startedAt + minutes * 60_000;
const pending = new Set();
while (performance.now() < end && server.exitCode === null && server.signalCode === null) {
  const asked = ask(makePlan(random)).finally(() => pending.delete(asked));
  pending.add(asked);
  await delay(random.integer(0, 2_000 / REQUESTS_PER_SECOND));
}
await Promise.all(pending);

const summary = await Promise.race([
  endOfServer(),
  exited.then(() => undefined),
  delay(2 * PATIENCE, undefined, { ref: false }),
]);
if (summary === undefined) {
  const { exitCode, signalCode } = server;
  const end = exitCode ?? signalCode;
  faults.push(end === null ? 'the server sent no summary' : `the server ended too early, with ${end}`);
  server.kill('SIGKILL');
} else {
  const [code] = await Promise.race([exited, delay(PATIENCE, ['nothing'], { ref: false })]);
  if (code !== 0) {
    faults.push(`the server exited with ${code}`);
    server.kill('SIGKILL');
  }
  report(summary);
}
for (const fault of faults.slice(0, 20)) console.log(`FAULT: ${fault}`);
console.log(faults.length === 0 ? 'Nothing was lost, and nothing was harmed.' : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;

async function endOfServer() {
  const told = new Promise((resolve) => {
    server.on('message', ({ summary: sent }) => sent && resolve(sent));
  });
  server.send({ end: PATIENCE });
  return told;
}

function report({ stats, unsettled, close }) {
  const seconds = samples.at(-1).second;
  const warmUp = Math.max(SHORTEST_WARM_UP, seconds * WARM_UP_PART);
  const warm = samples.filter(({ second }) => second >= warmUp);
  const memory = growthOf(warm.map(({ second, rss }) => [second, rss / MEGABYTE]));
  const handles = growthOf(warm.map(({ second, handles: open }) => [second, open]));
  if (unsettled.length > 0) faults.push(`${unsettled.length} tasks never settled: ${unsettled.slice(0, 5).join(', ')}`);
  if (minutes >= SHORTEST_JUDGED && memory.part >= MOST_GROWTH)
    faults.push(`resident memory rose by ${percent(memory.part)} after warm-up`);
  if (minutes >= SHORTEST_JUDGED && handles.change > MOST_NEW_HANDLES)
    faults.push(`${handles.change.toFixed(1)} more handles are open than after warm-up`);

  const { outcomes, executors } = stats;
  const byState = Object.entries(outcomes).map(([state, count]) => `${state} ${count}`);
  const byExecutor = Object.entries(executors).map(
    ([name, { outcomes: of }]) => `${name} ${Object.values(of).reduce((sum, count) => sum + count, 0)}`,
  );
  const peak = Math.max(...samples.map(({ rss }) => rss)) / MEGABYTE;
  console.log(`requests   ${listed(counts)}`);
  console.log(`tasks      ${stats.added} added, ${stats.settled} settled: ${byState.join(', ')}`);
  console.log(`executors  ${byExecutor.join(', ')}`);
  console.log(`close      completed ${close.completed}, failed ${close.failed}, abandoned ${close.abandoned}`);
  console.log(`checks     ${samples.length} seconds in which the tasks were counted`);
  console.log(
    `memory     median ${memory.median.toFixed(1)} MB after warm-up, peak ${peak.toFixed(1)} MB; its line changes by ` +
      `${memory.change.toFixed(1)} MB (${percent(memory.part)}) in the ${Math.round(seconds - warmUp)} s after it; flat is a rise below ${percent(MOST_GROWTH)}`,
  );
  console.log(
    `handles    median ${handles.median}, change ${handles.change.toFixed(1)}; flat is a rise of at most ${MOST_NEW_HANDLES}`,
  );
  writeFileSync(values.svg, draw());
  if (values.json !== undefined) {
    writeFileSync(
      values.json,
      `${JSON.stringify({ minutes, seed, counts, stats, memory, handles, samples, faults })}\n`,
    );
  }
  console.log(`plot       ${values.svg}`);
}

function draw() {
  const line = (name, of) => ({ name, points: samples.map((sample) => [sample.second / 60, of(sample)]) });
  const rate = (name, of) => ({
    name,
    points: samples.slice(5).map((sample, index) => [sample.second / 60, (of(sample) - of(samples[index])) / 5]),
  });
  return plot({
    title: `Soak: ${minutes} minutes of mixed load with faults`,
    subtitle: `Seed ${seed}, Node ${process.versions.node}. The first third is warm-up, and at least ${SHORTEST_WARM_UP} s.`,
    xLabel: 'minutes',
    panels: [
      {
        label: 'Memory of the server (MB)',
        series: [line('resident', ({ rss }) => rss / MEGABYTE), line('heap in use', ({ heap }) => heap / MEGABYTE)],
      },
      {
        label: 'Active handles, workers alive',
        series: [
          line('handles', ({ handles }) => handles),
          line('threads', ({ threads }) => threads),
          line('processes', ({ processes }) => processes),
        ],
      },
      { label: 'Tasks not settled', series: [line('backlog', ({ backlog }) => backlog)] },
      {
        label: 'Tasks settled a second',
        series: [rate('completed', ({ completed }) => completed), rate('otherwise', ({ otherwise }) => otherwise)],
      },
    ],
  });
}

/** One request; some clients hang up before they have their answer. */
function ask(plan) {
  counts.requests += 1;
  return new Promise((resolve) => {
    const over = (kind) => {
      counts[kind] += 1;
      resolve();
    };
    const req = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/', agent: false }, (res) => {
      res.resume().on('end', () => {
        if (res.statusCode === 202) over('accepted');
        else over(res.statusCode === 503 ? 'refused' : 'failed');
      });
      res.on('error', () => over('hungUp'));
    });
    req.on('error', () => over(plan.hangUpAfter === undefined ? 'lostAnswers' : 'hungUp'));
    req.end(JSON.stringify(plan));
    if (plan.hangUpAfter !== undefined) setTimeout(() => req.destroy(), plan.hangUpAfter);
  });
}

function percent(part) {
  return `${(part * 100).toFixed(1)} %`;
}

function listed(numbers) {
  return Object.entries(numbers)
    .map(([name, number]) => `${name} ${number}`)
    .join(', ');
}
