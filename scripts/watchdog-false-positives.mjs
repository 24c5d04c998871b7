// `node scripts/watchdog-false-positives.mjs [--seconds 60] [--clients 8] [--threshold 50]`, after `npm run build`.
// A server under heavy load that never blocks: many requests, tasks of about a millisecond, and enough garbage to collect. Prints
// how often the watchdog reported a block, by cause. The exit code is 1 if it blamed a task, a handler or other code for
// one, or did not report the task that does block at the end.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '8' },
    threshold: { type: 'string', default: '50' },
  },
});

/** On a machine that gives the server little, it takes longer until there is something to go by. */
const FEWEST_REQUESTS = 50;

const server = fork(fileURLToPath(new URL('./support/well-behaved-server.mjs', import.meta.url)), [values.threshold]);
const died = once(server, 'exit').then(([code, signal]) =>
  Promise.reject(new Error(`The server ended: ${code ?? signal}`)),
);
const { port } = await answer();
const agent = new Agent({ keepAlive: true });
const until = performance.now() + Number(values.seconds) * 1_000;
let requests = 0;
await Promise.race([Promise.all(Array.from({ length: Number(values.clients) }, load)), died]);
agent.destroy();

server.send('report');
const report = await answer();
died.catch(() => {});
server.disconnect();
console.log(JSON.stringify(report, undefined, 2));
const { load: _load, 'garbage-collection': _collection, ...blamed } = report.byCause;
if (Object.keys(blamed).length > 0 || Object.keys(report.byTask).length > 0 || report.proof !== 'task') {
  process.exitCode = 1;
}

async function answer() {
  const [message] = await Promise.race([once(server, 'message'), died]);
  return message;
}

async function load() {
  while (performance.now() < until || requests < FEWEST_REQUESTS) {
    requests += 1;
    await post('/orders');
  }
}

function post(path) {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', agent }, (res) => {
      res.resume();
      res.once('end', resolve);
    });
    sent.once('error', reject);
    sent.end();
  });
}
