/** Which values may go to an engine: JSON that comes back unchanged, up to a size. */
import { types } from 'node:util';
import { describeKind } from '../describe.ts';
import { BackgroundTaskError } from '../errors.ts';

/** Arguments are not nested this deeply on purpose. Far beyond it `JSON.stringify` overflows the stack. */
const DEEPEST = 500;

/** What JSON makes of a value, and how many bytes it takes as JSON. */
interface JsonCopy<Value> {
  readonly value: Value;
  readonly bytes: number;
}

/**
 * A copy of `value`, as JSON makes it.
 *
 * @param what what the error calls the value.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_JSON` for a value that would come back changed, or not at all;
 * `ERR_BACKGROUND_TOO_LARGE` for one that takes more than `limit` bytes.
 */
export function jsonCopy<Value>(value: Value, what: string, limit: number): JsonCopy<Value> {
  const fault = faultIn(value, '', 0);
  if (fault !== undefined) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_NOT_JSON',
      `Expected ${what} to be JSON, got ${fault}: pass plain data, or an id that the task can look it up by.`,
    );
  }
  const text = JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  if (bytes > limit) {
    throw new BackgroundTaskError(
      'ERR_BACKGROUND_TOO_LARGE',
      `Expected ${what} to be at most ${limit} bytes of JSON, got ${bytes}: store it elsewhere, and pass its key.`,
    );
  }
  return { value: JSON.parse(text) as Value, bytes };
}

/** The value itself if it is JSON of at most `limit` bytes, and `undefined` otherwise. Never throws. */
export function jsonOrNothing(value: unknown, limit: number): unknown {
  try {
    return value === undefined ? undefined : jsonCopy(value, 'a value', limit).value;
  } catch {
    return undefined;
  }
}

/** The first part of `value` that is not JSON, in words. `undefined` properties are allowed: JSON leaves them out. */
function faultIn(value: unknown, path: string, depth: number): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${value}${at(path)}`;
  if (typeof value !== 'object' || types.isProxy(value)) return `${describeKind(value)}${at(path)}`;
  if (depth === DEEPEST) return 'a structure that is nested too deeply, or contains itself';
  if (Array.isArray(value)) return faultInArray(value, path, depth);
  const prototype = Object.getPrototypeOf(value);
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!isPlain || typeof (value as { toJSON?: unknown }).toJSON === 'function')
    return `${describeKind(value)}${at(path)}`;
  for (const [key, { value: entry, get }] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    if (get !== undefined) return `a getter${at(`${path}.${key}`)}`;
    const fault = entry === undefined ? undefined : faultIn(entry, `${path}.${key}`, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultInArray(array: readonly unknown[], path: string, depth: number): string | undefined {
  for (const [index, entry] of array.entries()) {
    const fault = faultIn(entry, `${path}[${index}]`, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function at(path: string): string {
  return path === '' ? '' : ` at ${path}`;
}
