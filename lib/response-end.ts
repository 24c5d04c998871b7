/** When a response has ended, and how. The one room that knows on-finished, and what on-finished does not tell. */

import type { Socket } from 'node:net';
import onFinished from 'on-finished';
import { ServerResponse } from './builtins.ts';
import type { ResponseEnd } from './outcome.ts';
import { setImmediate } from './time/real-time.ts';

type Listener = (end: ResponseEnd) => void;

/**
 * Calls `listener` once, when the last byte of the response was handed to the system or the connection is gone; in a
 * later turn, if that has happened already. Never synchronously.
 */
export function whenResponseEnded(res: ServerResponse, listener: Listener): void {
  const socket = ownSocketOf(res);
  if (socket === undefined) whenUnusualResponseEnded(res, listener);
  else whenUsualResponseEnded(res, socket, listener);
}

/**
 * The connection of the usual response: HTTP/1, not ended yet, on a live connection of its own. `undefined` for any other.
 * Reads few properties of the response: after what Express 5 does to it, V8 looks each of them up anew.
 */
function ownSocketOf(res: ServerResponse): Socket | undefined {
  if (!(res instanceof ServerResponse) || res.writableEnded) return undefined;
  const socket: ServedSocket | null = res.socket;
  // A mock under Express is an instance, and has none. The adapters of serverless platforms, and mocks, make one up.
  return socket?.server === undefined || socket.destroyed ? undefined : socket;
}

/** Node's servers put themselves on each connection that they serve. */
interface ServedSocket extends Socket {
  readonly server?: unknown;
}

function whenUsualResponseEnded(res: ServerResponse, socket: Socket, listener: Listener): void {
  let isSent = false;
  let isTold = false;
  const tell = (): void => {
    if (isTold) return;
    isTold = true;
    listener(endOf(res, isSent));
  };
  // Ahead of all others: what shuts a server down destroys, when a response has finished, the connection that it went over.
  res.prependListener('finish', () => {
    isSent = !socket.destroyed;
  });
  onFinished(res, tell);
  // Where a listener of the application's throws, on-finished calls none of those that come after it. In all other cases it
  // has to be first, and when the connection breaks it comes after this: it calls in the async context of the `add`.
  res.on('close', () => {
    if (!isTold) setImmediate(tell);
  });
}

function whenUnusualResponseEnded(res: ServerResponse, listener: Listener): void {
  let isTold = false;
  const tell = (isSent: boolean): void => {
    if (isTold) return;
    isTold = true;
    stopWatching?.();
    setImmediate(() => listener(endOf(res, isSent)));
  };
  const tellNow = (): void => tell(wasSentNow(res));
  const stopWatching = watchUnassigned(res, () => tell(false));
  if (wasSent(res) || isGone(res)) {
    // on-finished would wait for ever for a response whose connection was gone before it had its turn.
    tell(wasSent(res));
  } else {
    // on-finished takes a response that was ended for finished, while its bytes may still wait for a slow client.
    if (res.writableEnded || tellsByEventsOnly(res)) res.once('finish', tellNow);
    else onFinished(res, tellNow);
    // A socket that was made up tells nothing when the response is destroyed.
    res.once('close', tellNow);
  }
}

/**
 * Of a response without Node's properties on-finished says that it has finished. Where a live connection stands behind it,
 * as behind the one that Socket.IO gives to middlewares for a WebSocket, it has not. A mock may never emit an event.
 */
function tellsByEventsOnly(res: ServerResponse): boolean {
  const socket: ServedSocket | null = res.socket;
  return res.finished === undefined && socket?.server !== undefined && !socket.destroyed;
}

function endOf({ statusCode }: ServerResponse, isSent: boolean): ResponseEnd {
  return { ended: isSent ? 'sent' : 'aborted', statusCode };
}

interface Http2Response {
  readonly stream?: { readonly aborted: boolean; readonly writableFinished: boolean; readonly destroyed: boolean };
}

/** On a response of HTTP/1 a `stream` is the application's. */
function streamOf(res: ServerResponse): Http2Response['stream'] {
  return res instanceof ServerResponse ? undefined : (res as Http2Response).stream;
}

/** Whether all of it is out by now. */
function wasSent(res: ServerResponse): boolean {
  const stream = streamOf(res);
  if (stream !== undefined) return stream.writableFinished && !stream.aborted;
  const { socket } = res;
  // An adapter's socket counts no bytes, so that Node, up to 22, never says of its response that it has finished.
  const isUncounted = socket != null && socket.writableLength === undefined;
  return (res.writableFinished || (res.writableEnded && isUncounted)) && !socket?.destroyed;
}

/**
 * The same when it has finished, or its connection is gone. on-finished's error argument does not tell which: it is `null`
 * also when the client hangs up, and Node emits `finish` also for a response that was ended on a dead connection.
 */
function wasSentNow(res: ServerResponse): boolean {
  return streamOf(res) === undefined ? !isGone(res) : wasSent(res);
}

function isGone(res: ServerResponse): boolean {
  const stream = streamOf(res);
  if (stream !== undefined) return stream.destroyed && !wasSent(res);
  // A socket that was made up outlives its response, which counts as destroyed also when it was sent.
  if (res.socket) return res.socket.destroyed || (res.destroyed && !res.writableEnded);
  return res.destroyed || res.req?.socket?.destroyed === true;
}

/**
 * A pipelined response waits for its turn without a socket of its own. If the connection is closed in the meantime,
 * neither the response nor on-finished learns of it, so the request's socket is watched: once for all that wait on it.
 */
const waitingOn = new WeakMap<Socket, Set<() => void>>();

function watchUnassigned(res: ServerResponse, tell: () => void): (() => void) | undefined {
  const socket = res.req?.socket;
  // Of a mock it is undefined.
  if (res.socket !== null || !socket || socket.destroyed) return undefined;
  let waiting = waitingOn.get(socket);
  if (waiting === undefined) {
    waiting = new Set();
    waitingOn.set(socket, waiting);
    const everyone = waiting;
    socket.once('close', () => {
      for (const tellOne of [...everyone]) tellOne();
    });
  }
  waiting.add(tell);
  return () => waiting.delete(tell);
}
