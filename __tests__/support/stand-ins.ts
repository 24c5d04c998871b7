/** Responses without a connection, as the adapters of serverless platforms and the mocks of tests make them. */
import { EventEmitter } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import type { Listener } from './servers.ts';

interface StandIn {
  readonly name: string;
  /** Asks an application, without a server. Resolves when it has answered, or given up. */
  readonly ask: (listener: Listener) => Promise<unknown>;
}

function get(): IncomingMessage {
  return Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: '/' });
}

async function ended(listener: Listener, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const end = new Promise<void>((resolve) => res.once('finish', resolve).once('close', resolve));
  listener(req, res);
  await end;
}

/** serverless-http, @vendia/serverless-express: the socket is an object that takes what is written at once. */
function askAdapter(listener: Listener): Promise<void> {
  const res = new ServerResponse(get());
  const socket = {
    _writableState: {},
    writable: true,
    on() {},
    removeListener() {},
    destroy() {},
    cork() {},
    uncork() {},
    write(_data: unknown, encoding: unknown, callback?: () => void) {
      if (typeof encoding === 'function') encoding();
      else callback?.();
      return true;
    },
  };
  res.assignSocket(socket as unknown as Socket);
  return ended(listener, get(), res);
}

/** light-my-request: it finishes while its socket still writes, and is destroyed then. Its socket never learns of that. */
export function askInjected(listener: Listener): Promise<void> {
  const res = new ServerResponse(get());
  res.assignSocket(new Writable({ write: (_chunk, _encoding, callback) => setImmediate(callback) }) as Socket);
  const end = res.end.bind(res) as (...args: unknown[]) => ServerResponse;
  res.end = (...args: unknown[]) => {
    end(...args);
    res.emit('finish');
    return res.destroy();
  };
  res.destroy = () => {
    if (!res.destroyed) process.nextTick(() => res.emit('close'));
    res.destroyed = true;
    return res;
  };
  return ended(listener, get(), res);
}

/** node-mocks-http: no instance of Node's, until Express makes it one. */
function askMock(listener: Listener): Promise<void> {
  const headers = new Map<string, unknown>();
  const res = Object.assign(new EventEmitter(), {
    statusCode: 200,
    writableEnded: false,
    writableFinished: false,
    setHeader: (name: string, value: unknown) => headers.set(name, value),
    getHeader: (name: string) => headers.get(name),
    removeHeader: (name: string) => headers.delete(name),
    end() {
      res.writableEnded = true;
      res.emit('end');
      res.writableFinished = true;
      res.emit('finish');
    },
  });
  const req = { method: 'GET', url: '/', headers: {}, socket: {} };
  return ended(listener, req as unknown as IncomingMessage, res as unknown as ServerResponse);
}

export const standIns: readonly StandIn[] = [
  { name: 'an adapter', ask: askAdapter },
  { name: 'an injected request', ask: askInjected },
  { name: 'a mock', ask: askMock },
];
