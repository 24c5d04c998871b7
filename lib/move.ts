/** `move()`: buffers that are given to a task rather than copied. */

import { types } from 'node:util';
import type { MessagePort as Port } from 'node:worker_threads';
import { describeKind } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import { processWide } from './process-wide.ts';

/** What can change hands between threads. */
export type Movable = ArrayBuffer | Port;

// A moved object is passed as itself. What is remembered is only that its memory may be taken from it.
const moved = processWide('moved', () => new WeakSet<object>());

/**
 * Gives a buffer to the task instead of copying it: no cost per byte, and the caller's buffer is empty after `add`.
 *
 * For typed arrays, Buffers, ArrayBuffers and MessagePorts. A task may return `move(buffer)` as well. A Buffer that
 * Node cut from its shared pool (most that are shorter than half of `Buffer.poolSize`) is copied: others live in the same memory.
 * Only an argument itself can be moved: one inside an object is copied. On the event loop nothing crosses, and `move`
 * changes nothing. With `retry`, each attempt but the last gets a copy.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_CLONEABLE` for what cannot be moved.
 * @example
 * res.locals.backgroundTasks.add(images.thumbnail, move(upload.buffer), 200);
 */
export function move<T extends ArrayBufferView | Movable>(value: T): T {
  if (transferableOf(value) === undefined) throw notMovable(value);
  moved.add(value);
  return value;
}

function notMovable(value: unknown): BackgroundTaskError {
  const kind = describeKind(value);
  return new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_CLONEABLE',
    isInSharedMemory(value)
      ? `Expected move() to be given memory of its own, got ${kind} in shared memory, which cannot be moved: pass it without move(), and a thread has the same memory.`
      : `Expected move() to be given a typed array, a Buffer, an ArrayBuffer or a MessagePort, got ${kind}.`,
  );
}

function isInSharedMemory(value: unknown): boolean {
  return types.isSharedArrayBuffer(types.isArrayBufferView(value) ? value.buffer : value);
}

/** A mark holds for one call: an object that is passed again without `move` is copied. */
export function forgetMoves(args: readonly unknown[]): void {
  for (const arg of args) if (typeof arg === 'object' && arg !== null) moved.delete(arg);
}

/** What must be on the transfer list so that `values` cross without a copy, where `move` allows it. */
export function transferListOf(values: readonly unknown[]): Movable[] {
  let list: Set<Movable> | undefined;
  for (const value of values) {
    if (typeof value !== 'object' || value === null || !moved.has(value)) continue;
    const transferable = transferableOf(value);
    if (transferable === undefined || isShared(value, transferable)) continue;
    list ??= new Set();
    list.add(transferable);
  }
  return list === undefined ? [] : [...list];
}

function transferableOf(value: unknown): Movable | undefined {
  if (types.isArrayBufferView(value)) {
    return types.isArrayBuffer(value.buffer) ? value.buffer : undefined;
  }
  if (types.isArrayBuffer(value)) return value;
  return value instanceof MessagePort ? (value as unknown as Port) : undefined;
}

/** Node's Buffer pool: taking it away would empty strangers' buffers. */
function isShared(value: object, transferable: Movable): boolean {
  return Buffer.isBuffer(value) && value.byteLength !== (transferable as ArrayBuffer).byteLength;
}
