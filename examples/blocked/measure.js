/**
 * The latency of requests beside a report that is made on the event loop, and beside one that is made in a thread:
 * `node examples/blocked/measure.js`. Prints what the servers logged, and a table.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ORDERS = 60_000;
const SECONDS = 20;
/** Time for what starts late: the watchdog's thread, the worker thread, its module. */
const LEAD = 2;
const PINGS_PER_SECOND = 100;
const root = fileURLToPath(new URL('../../', import.meta.url));

const agent = new Agent({ keepAlive: true });
const folder = await mkdtemp(join(tmpdir(), 'blocked-'));
const servers = new Set();
process.once('exit', () => {
  for (const server of servers) server.kill();
});

try {
  await writeFile(join(folder, 'orders.json'), JSON.stringify(Array.from({ length: ORDERS }, (_, id) => orderOf(id))));
  const results = [];
  for (const name of ['before', 'after']) results.push([name, await measure(name)]);
  for (const [name, { log }] of results) console.log(`\n${name}.js logged:\n${log.trim() || 'nothing'}`);
  console.log(
    `\nNode ${process.versions.node}, ${availableParallelism()} cores, a report of ${ORDERS} orders a second:\n`,
  );
  console.log('| ping, ms | p50 | p90 | p99 | longest | pings |\n| --- | --- | --- | --- | --- | --- |');
  for (const [name, { pings }] of results) console.log(`| \`${name}.js\` | ${figures(pings).join(' | ')} |`);
} finally {
  agent.destroy();
  await rm(folder, { recursive: true });
}

/** The same orders each time, unsorted. */
function orderOf(id) {
  const number = (id * 7_919) % ORDERS;
  return { id, customer: `Müller & Sons, no. ${number}`, total: number / 100 };
}

async function measure(name) {
  const server = await start(name);
  const pings = [];
  const pinging = setInterval(() => pings.push(ask(server.url, 'GET', '/ping')), 1_000 / PINGS_PER_SECOND);
  for (let second = 0; second < LEAD + SECONDS; second += 1) {
    if (second === LEAD) pings.length = 0;
    await ask(server.url, 'POST', '/reports');
    await pause(1_000);
  }
  clearInterval(pinging);
  const took = await Promise.all(pings);
  return { pings: took, log: await server.stop() };
}

async function start(name) {
  const server = spawn(process.execPath, [`examples/blocked/${name}.js`], {
    cwd: root,
    env: { ...process.env, NODE_ENV: 'development', FOLDER: folder },
  });
  servers.add(server);
  let log = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      log += text;
    });
  }
  const [url] = await once(createInterface({ input: server.stdout }), 'line');
  return {
    url,
    async stop() {
      server.kill('SIGTERM');
      await once(server, 'close');
      servers.delete(server);
      return log.replace(`${url}\n`, '');
    },
  };
}

/** Resolves to how long the answer took. */
function ask(url, method, path) {
  const sentAt = performance.now();
  return new Promise((resolve, reject) => {
    request(url + path, { method, agent }, (response) => {
      response.resume().once('end', () => resolve(performance.now() - sentAt));
    })
      .once('error', reject)
      .end();
  });
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Percentiles by nearest rank. */
function figures(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (percent) => sorted[Math.ceil((percent / 100) * sorted.length) - 1].toFixed(1);
  return [at(50), at(90), at(99), at(100), values.length];
}
