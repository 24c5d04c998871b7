/** When a response has ended, and how. The one room that knows on-finished, and what on-finished does not tell. */
import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import onFinished from 'on-finished';
import type { ResponseEnd } from './outcome.ts';

type Listener = (end: ResponseEnd) => void;

/**
 * Calls `listener` once, when the last byte of the response was handed to the system or the connection is gone; in a
 * later turn, if that has happened already. Never synchronously.
 */
export function whenResponseEnded(res: ServerResponse, listener: Listener): void {
  const socket = ownSocketOf(res);
  if (socket === undefined) whenUnusualResponseEnded(res, listener);
  else onFinished(res, () => listener(endOf(res, wasSentOver(socket, res))));
}

/**
 * The connection of the usual response: HTTP/1, not ended yet, on a live connection of its own. `undefined` for any other.
 * Reads few properties of the response: after what Express 5 does to it, V8 looks each of them up anew.
 */
function ownSocketOf(res: ServerResponse): Socket | undefined {
  if (!(res instanceof ServerResponse) || res.writableEnded) return undefined;
  const { socket } = res;
  return socket === null || socket.destroyed ? undefined : socket;
}

/** Node detaches the socket from a response that was sent. */
function wasSentOver(socket: Socket, res: ServerResponse): boolean {
  return (res.socket === null && !socket.destroyed) || wasSentNow(res);
}

function whenUnusualResponseEnded(res: ServerResponse, listener: Listener): void {
  let told = false;
  const tell = (isSent: boolean): void => {
    if (told) return;
    told = true;
    stopWatching?.();
    listener(endOf(res, isSent));
  };
  const tellNow = (): void => tell(wasSentNow(res));
  const stopWatching = watchUnassigned(res, () => tell(false));
  if (wasSent(res) || isGone(res)) {
    // on-finished would wait for ever for a response whose connection was gone before it had its turn.
    const isSent = wasSent(res);
    setImmediate(() => tell(isSent));
  } else if (res.writableEnded) {
    // on-finished takes such a response for finished, while its bytes may still wait for a slow client.
    res.once('finish', tellNow);
    res.once('close', tellNow);
  } else {
    onFinished(res, tellNow);
  }
}

function endOf({ statusCode }: ServerResponse, isSent: boolean): ResponseEnd {
  return { ended: isSent ? 'sent' : 'aborted', statusCode };
}

/** Node emits `finish` also for a response that was ended on a dead connection: the connection tells the two apart. */
function wasSentNow(res: ServerResponse): boolean {
  return wasSent(res) && !isGone(res);
}

interface Http2Response {
  readonly stream?: { readonly aborted: boolean; readonly writableFinished: boolean; readonly destroyed: boolean };
}

function streamOf(res: ServerResponse): Http2Response['stream'] {
  return (res as Http2Response).stream;
}

/** on-finished's error argument does not tell: it is `null` also when the client hangs up. */
function wasSent(res: ServerResponse): boolean {
  const stream = streamOf(res);
  if (stream !== undefined) return stream.writableFinished && !stream.aborted;
  // A response that was sent has let go of its socket.
  return res.writableFinished && !res.socket?.destroyed;
}

function isGone(res: ServerResponse): boolean {
  const stream = streamOf(res);
  if (stream !== undefined) return stream.destroyed && !wasSent(res);
  return res.destroyed || (res.socket ?? res.req?.socket)?.destroyed === true;
}

/**
 * A pipelined response waits for its turn without a socket of its own. If the connection is closed in the meantime,
 * neither the response nor on-finished learns of it, so the request's socket is watched: once for all that wait on it.
 */
const waitingOn = new WeakMap<Socket, Set<() => void>>();

function watchUnassigned(res: ServerResponse, tell: () => void): (() => void) | undefined {
  const socket = res.req?.socket;
  if (res.socket || !socket || socket.destroyed || streamOf(res) !== undefined) return undefined;
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
