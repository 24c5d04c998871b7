/** How large a value is on its way to the server, roughly: found out where it was made, before it is sent. */
import { types } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { transferListOf } from '../../move.ts';

/** A thread's port copies the whole memory that a view inside an object shows a part of; a process's channel only that part. */
const isThread = !isMainThread;

/** What a value takes besides its text or its bytes. */
const BYTES_A_VALUE = 8;
/** A stack is written out when it is first looked at, which takes longer than all else here. */
const BYTES_A_STACK = 1_000;

/** A view takes all of its memory along: a small Buffer the pool that it is a part of, with the bytes of others. */
export function withoutForeignBytes(value: unknown): unknown {
  if (!types.isUint8Array(value) || value.byteLength === value.buffer.byteLength) return value;
  const isMeantWhole = types.isSharedArrayBuffer(value.buffer) || transferListOf([value]).length > 0;
  if (isMeantWhole) return value;
  const bytes = new Uint8Array(value);
  // A process gives Buffers back as such.
  return Buffer.isBuffer(value) ? Buffer.from(bytes.buffer) : bytes;
}

/** Calls no getter and follows no proxy: whether those can cross is not asked here. */
export function isLargerThan(limit: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'string' && value.length > limit;
  if (types.isUint8Array(value)) return value.byteLength > limit;
  const seen = new Set<object>();
  const waiting: unknown[] = [value];
  let size = 0;
  while (waiting.length > 0) {
    const one = waiting.pop();
    size += BYTES_A_VALUE;
    // A string that is there several times crosses as many times; an object crosses once.
    if (typeof one === 'string') size += one.length;
    else if (typeof one === 'object' && one !== null && !seen.has(one) && !types.isProxy(one)) {
      seen.add(one);
      size += bytesOf(one);
      if (size <= limit) addContents(one, waiting);
    }
    if (size > limit) return true;
  }
  return false;
}

function bytesOf(one: object): number {
  if (types.isArrayBufferView(one)) return isThread ? 0 : one.byteLength;
  if (types.isArrayBuffer(one)) return one.byteLength;
  if (Array.isArray(one)) return one.length * BYTES_A_VALUE;
  if (types.isMap(one) || types.isSet(one)) return one.size * BYTES_A_VALUE;
  return types.isNativeError(one) ? BYTES_A_STACK : 0;
}

function addContents(one: object, waiting: unknown[]): void {
  if (types.isAnyArrayBuffer(one)) return;
  if (types.isArrayBufferView(one)) {
    if (isThread) waiting.push(one.buffer);
  } else if (Array.isArray(one)) {
    for (let index = 0; index < one.length; index += 1) waiting.push(dataOf(one, index));
  } else if (types.isMap(one)) {
    for (const [key, value] of one) waiting.push(key, value);
  } else if (types.isSet(one)) {
    for (const value of one) waiting.push(value);
  } else if (types.isNativeError(one)) {
    waiting.push(dataOf(one, 'message'), dataOf(one, 'cause'));
  } else {
    for (const name of Object.getOwnPropertyNames(one)) waiting.push(name, dataOf(one, name));
  }
}

function dataOf(one: object, name: PropertyKey): unknown {
  return Object.getOwnPropertyDescriptor(one, name)?.value;
}
