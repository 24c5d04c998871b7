/** What a child process has sent, as far as this package sent it. */
import { deserialize } from 'node:v8';
import { toError } from '../to-error.ts';
import { type ProcessMessage, type ProcessReply, REPLY, type Reply, type WrittenReply } from './wire.ts';

/** A reply that can be looked at as it is. */
export type ReadReply = Exclude<ProcessReply, WrittenReply>;

/** `undefined` for whatever else came over the channel: it must not end the server, which is what processes are for. */
export function replyIn(message: unknown): ReadReply | undefined {
  return isOurs(message) ? read(message[REPLY]) : undefined;
}

/** `process.send()` is silenced in the child, but a task module may have other ways to write to the channel. */
function isOurs(message: unknown): message is ProcessMessage {
  return typeof message === 'object' && message !== null && REPLY in message;
}

function read(reply: unknown): ReadReply | undefined {
  if (!isReply(reply)) return undefined;
  return reply.kind === 'written' ? read(deserialized(reply)) : reply;
}

const KINDS = {
  ready: true,
  leaving: true,
  written: true,
  stray: true,
  value: true,
  'value-lost': true,
  error: true,
} as const satisfies Record<ProcessReply['kind'], true>;

function isReply(reply: unknown): reply is ProcessReply {
  const kind: unknown = (reply as Partial<ProcessReply> | null | undefined)?.kind;
  return typeof kind === 'string' && Object.hasOwn(KINDS, kind);
}

function deserialized({ bytes }: WrittenReply): unknown {
  try {
    return deserialize(bytes);
  } catch (thrown) {
    return { kind: 'value-lost', reason: toError(thrown).message, ranMs: undefined } satisfies Reply;
  }
}
