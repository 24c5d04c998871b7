// The load generator: keep-alive connections, each of which sends its next request when it has its response.
// It reads no more of a response than its length, and so takes a quarter of the CPU time that the server takes.
// autocannon parses each response and keeps its latency: it costs as much as a small server and moves with the noise.
import { once } from 'node:events';
import { connect } from 'node:net';

const CONNECTIONS = 32;
/** Fewer than the system lets wait to be accepted by a server. */
const AT_A_TIME = 100;
const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n');
const HEAD_END = '\r\n\r\n';

const clients = new Map();

/** Opened by support/child.mjs. */
export function load() {
  return {
    /** How many requests were answered, and how long that took. */
    async run({ port, milliseconds }) {
      if (!clients.has(port)) clients.set(port, await connectTo(port));
      const startedAt = performance.now();
      const deadline = startedAt + milliseconds;
      const counts = await withoutSleep(() =>
        Promise.all(clients.get(port).map((requestUntil) => requestUntil(deadline))),
      );
      const seconds = (performance.now() - startedAt) / 1_000;
      return { requests: counts.reduce((sum, count) => sum + count), seconds };
    },
    /** Opens `connections` to a server whose responses have `length` bytes. */
    async open({ port, length, connections }) {
      clients.set(port, await openConnections(port, length, connections));
    },
    /** Sends a request on so many `connections` and waits for all responses, again and again. How many were answered. */
    async bursts({ port, connections, milliseconds }) {
      const used = clients.get(port).slice(0, connections);
      const deadline = performance.now() + milliseconds;
      let requests = 0;
      do {
        await Promise.all(used.map((requestUntil) => requestUntil(0)));
        requests += used.length;
      } while (performance.now() < deadline);
      return requests;
    },
    lengthOf: ({ port }) => responseLength(port),
  };
}

/**
 * Never sleeps: a sleeping reader has to be woken by the process that writes to it, which costs microseconds on a virtual
 * machine, and more the longer it has slept. The slower server would pay for being slower.
 */
async function withoutSleep(measure) {
  let isOver = false;
  const turn = () => {
    if (!isOver) setImmediate(turn);
  };
  turn();
  try {
    return await measure();
  } finally {
    isOver = true;
  }
}

async function connectTo(port) {
  return openConnections(port, await responseLength(port), CONNECTIONS);
}

async function openConnections(port, length, count) {
  const opened = [];
  while (opened.length < count) {
    const some = Math.min(AT_A_TIME, count - opened.length);
    opened.push(...(await Promise.all(Array.from({ length: some }, () => openConnection(port, length)))));
  }
  return opened;
}

/** All responses of a server are alike: each has `length` bytes. */
async function openConnection(port, length) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let received = 0;
  let requests = 0;
  let deadline = 0;
  let finish = { resolve() {}, reject() {} };

  socket.on('data', (chunk) => {
    received += chunk.length;
    if (received < length) return;
    if (received > length) finish.reject(new Error('The responses differ in length.'));
    received = 0;
    requests += 1;
    if (performance.now() < deadline) socket.write(REQUEST);
    else finish.resolve(requests);
  });
  socket.on('error', () => {});
  socket.on('close', () => finish.reject(new Error('The server has closed a connection.')));
  await once(socket, 'connect');

  return (until) =>
    new Promise((resolve, reject) => {
      requests = 0;
      deadline = until;
      finish = { resolve, reject };
      socket.write(REQUEST);
    });
}

function responseLength(port) {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(REQUEST));
    socket.setEncoding('latin1');
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      const headEnd = text.indexOf(HEAD_END);
      const body = /content-length: (\d+)/i.exec(text)?.[1];
      if (headEnd === -1 || text.length < headEnd + HEAD_END.length + Number(body)) return;
      socket.destroy();
      if (text.startsWith('HTTP/1.1 200 ') && body !== undefined) resolve(text.length);
      else reject(new Error(`Expected a response of status 200 and a known length, got ${text}`));
    });
  });
}
