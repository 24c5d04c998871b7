// An open-loop load: requests are sent when they are due, whether or not earlier ones have been answered. A
// request's latency counts from the moment when it was due. Connections are kept, and carry one request at a time.
import { connect } from 'node:net';

/** As many as a proxy in front of a server would keep. With more, the connections themselves would be the load. */
const MOST_CONNECTIONS = 128;

/** Opened by support/child.mjs. */
export function openLoop() {
  const servers = new Map();
  return {
    /**
     * @returns how many requests were sent; how many were answered, by status; how many of those with 503 said
     * `Retry-After`; and of each request when it was due and how long it took, in milliseconds, and its status.
     */
    async run({ port, path, perSecond, milliseconds }) {
      if (!servers.has(port)) servers.set(port, { port, idle: [], waiting: [], opened: 0 });
      const connections = servers.get(port);
      const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      const total = Math.floor((perSecond * milliseconds) / 1_000);
      const result = { sent: total, statuses: {}, withRetryAfter: 0, answers: [] };
      const startedAt = performance.now();
      let sent = 0;

      await new Promise((resolve, reject) => {
        let answered = 0;
        const timer = setInterval(() => {
          const due = Math.min(total, 1 + Math.floor(((performance.now() - startedAt) * perSecond) / 1_000));
          for (; sent < due; sent += 1) {
            const dueAt = startedAt + (sent * 1_000) / perSecond;
            ask(connections, request).then(({ status, hasRetryAfter }) => {
              result.statuses[status] = (result.statuses[status] ?? 0) + 1;
              if (hasRetryAfter) result.withRetryAfter += 1;
              result.answers.push([dueAt - startedAt, performance.now() - dueAt, status]);
              answered += 1;
              if (answered === total) resolve();
            }, reject);
          }
          if (sent === total) clearInterval(timer);
        }, 1);
      });
      return result;
    },
  };
}

/** A request that is due while every connection is busy waits for the first that is free; it counts as sent. */
async function ask(connections, request) {
  const connection = await take(connections);
  const answer = await connection(request);
  const next = connections.waiting.shift();
  if (next === undefined) connections.idle.push(connection);
  else next(connection);
  return answer;
}

function take(connections) {
  const { idle, waiting } = connections;
  if (idle.length > 0) return idle.pop();
  if (connections.opened === MOST_CONNECTIONS) return new Promise((resolve) => waiting.push(resolve));
  connections.opened += 1;
  return open(connections.port);
}

async function open(port) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let text = '';
  let finish;
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    text += chunk;
    const answer = parse(text);
    if (answer === undefined) return;
    text = '';
    finish.resolve(answer);
  });
  socket.on('error', (error) => finish?.reject(error));
  const closed = () => new Error('The server has closed a connection.');
  socket.on('close', () => finish?.reject(closed()));
  await new Promise((resolve) => socket.once('connect', resolve));
  return (request) =>
    new Promise((resolve, reject) => {
      finish = { resolve, reject };
      // It may have been closed while it was idle: no further event would come.
      if (socket.destroyed) reject(closed());
      else socket.write(request);
    });
}

/** `undefined` while the response is not complete. */
function parse(text) {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return undefined;
  const head = text.slice(0, headEnd);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
  if (text.length < headEnd + 4 + length) return undefined;
  return { status: Number(head.slice(9, 12)), hasRetryAfter: /\r\nretry-after: \d+/i.test(head) };
}
