/** `move()`: buffers that are given to a task rather than copied. */

import { types } from 'node:util';
import type { Transferable } from 'node:worker_threads';
import { describeKind } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import { processWide } from './process-wide.ts';

// An object that was moved stands for itself: what is remembered is only that it may be taken apart.
const moved = processWide('moved', () => new WeakSet<object>());

/**
 * Gives a buffer to the task instead of copying it: no cost per byte, and the caller's buffer is empty after `add`.
 *
 * For typed arrays, Buffers, ArrayBuffers and MessagePorts. A task may return `move(buffer)` as well. A Buffer that
 * Node cut from its shared pool (most that are shorter than half of `Buffer.poolSize`) is copied: others live in the same memory.
 * Only an argument itself can be moved: one inside an object is copied. On the event loop nothing crosses, and `move` changes nothing. With `retry`, each attempt but the last gets a copy.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_CLONEABLE` for what cannot be moved.
 * @example
 * res.locals.backgroundTasks.add(images.thumbnail, move(upload.buffer), 200);
 */
export function move<T extends ArrayBufferView | Transferable>(value: T): T {
  if (transferableOf(value) === undefined) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_NOT_CLONEABLE',
      `Expected move() to be given a typed array, a Buffer, an ArrayBuffer or a MessagePort, got ${describeKind(value)}.`,
    );
  }
  moved.add(value);
  return value;
}

/** What must be on the transfer list so that `values` cross without a copy, where `move` allows it. */
export function transferListOf(values: readonly unknown[]): Transferable[] {
  let list: Set<Transferable> | undefined;
  for (const value of values) {
    if (typeof value !== 'object' || value === null || !moved.has(value)) continue;
    const transferable = transferableOf(value);
    if (transferable === undefined || isShared(value, transferable)) continue;
    list ??= new Set();
    list.add(transferable);
  }
  return list === undefined ? [] : [...list];
}

function transferableOf(value: unknown): Transferable | undefined {
  if (types.isArrayBufferView(value)) {
    return types.isArrayBuffer(value.buffer) ? value.buffer : undefined;
  }
  if (types.isArrayBuffer(value)) return value;
  return value instanceof MessagePort ? (value as unknown as Transferable) : undefined;
}

/** Node's Buffer pool: taking it away would empty strangers' buffers. */
function isShared(value: object, transferable: Transferable): boolean {
  return Buffer.isBuffer(value) && value.byteLength !== (transferable as ArrayBuffer).byteLength;
}
