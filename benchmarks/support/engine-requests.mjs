// The requests to the servers of engine-sides.mjs: they come from the process of the benchmark itself.
import { Agent, request } from 'node:http';

/** One for each server, since connections are kept. */
const agents = new Map();

function agentFor(port) {
  if (!agents.has(port)) agents.set(port, new Agent({ keepAlive: true }));
  return agents.get(port);
}

/** Resolves when the request is answered. */
function post(port) {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method: 'POST', agent: agentFor(port) }, (res) => {
      res.resume().once('end', resolve);
      if (res.statusCode !== 202) reject(new Error(`A request was answered with ${res.statusCode}.`));
    });
    sent.once('error', reject).end();
  });
}

/** That many clients, each of which sends its next request when it has its response. Resolves to how many were answered. */
export async function postInTurn(port, { clients, milliseconds }) {
  const deadline = performance.now() + milliseconds;
  let answered = 0;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < deadline) {
        await post(port);
        answered += 1;
      }
    }),
  );
  return answered;
}

/** That many a second, until `ended` resolves and all are answered. Resolves to their number. */
export async function postAtRate(port, rate, ended) {
  const posts = [];
  const timer = rate > 0 ? setInterval(() => posts.push(post(port)), 1_000 / rate) : undefined;
  await ended;
  clearInterval(timer);
  await Promise.all(posts);
  return posts.length;
}
