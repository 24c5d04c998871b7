/** When a response has ended, and how. The one room that knows on-finished, and what on-finished does not tell. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import onFinished from 'on-finished';
import type { ResponseEnd } from './outcome.ts';

/**
 * Calls `listener` once, when the last byte of the response was handed to the system or the connection is gone; soon,
 * if that was before. Never within the call itself.
 */
export function whenResponseEnded(res: ServerResponse, listener: (end: ResponseEnd) => void): void {
  let told = false;
  const tell = (): void => {
    if (told) return;
    told = true;
    stopWatching?.();
    listener({ ended: wasSent(res) ? 'sent' : 'aborted', statusCode: res.statusCode });
  };
  const stopWatching = watchUnassigned(res, tell);
  onFinished(res, () => {
    // After `res.end()` on-finished takes a response for finished while its bytes may still wait for a slow client.
    if (wasSent(res) || isGone(res)) tell();
    else {
      res.once('finish', tell);
      res.once('close', tell);
    }
  });
}

interface Http2Response {
  readonly stream?: { readonly aborted: boolean; readonly writableFinished: boolean; readonly destroyed: boolean };
}

/** The only true sign: on-finished's error argument is `null` when the client hangs up. */
function wasSent(res: ServerResponse): boolean {
  const { stream } = res as Http2Response;
  return stream === undefined ? res.writableFinished : stream.writableFinished && !stream.aborted;
}

function isGone(res: ServerResponse): boolean {
  const { stream } = res as Http2Response;
  if (stream !== undefined) return stream.destroyed;
  const socket = res.socket ?? res.req?.socket;
  return res.destroyed || socket === undefined || socket === null || socket.destroyed;
}

/**
 * A pipelined response waits for its turn without a socket of its own. If the connection is closed in the meantime
 * nobody tells the response, nor on-finished: so the request's socket is watched, once for all who wait on it.
 */
const waitingOn = new WeakMap<Socket, Set<() => void>>();

function watchUnassigned(res: ServerResponse, tell: () => void): (() => void) | undefined {
  const socket = res.req?.socket;
  if (res.socket || !socket || socket.destroyed || (res as Http2Response).stream !== undefined) return undefined;
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
