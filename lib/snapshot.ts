/** The arguments of a task for a worker, copied when it is added: what cannot cross can still be refused to the handler. */
import { types } from 'node:util';
import { CLONE_FOR_WORKER } from './clone.ts';
import { describeKind } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import type { WorkerKind } from './executor-names.ts';
import { move, transferListOf } from './move.ts';
import { toThisRealm } from './realm.ts';
import { toError } from './to-error.ts';

const MOVED_BEFORE = 'It was moved away before.';
/** Each attempt but the last is given a copy of what is moved. */
const ONE_PORT = 'It can be moved only once, and `retry` allows several attempts.';

/** From this size on, in bytes, saving a copy is worth sending the task in a message of its own. */
const LARGE = 65_536;

/**
 * The arguments as they are now: what the handler changes later does not reach the task.
 *
 * @param attempts how many there may be.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_CLONEABLE` with the task's name and the argument's index.
 */
export function snapshotArguments(
  args: readonly unknown[],
  taskName: string,
  worker: WorkerKind,
  attempts: number,
): unknown[] {
  const nameOf = (index: number): string => `argument ${index} of task ${taskName}`;
  const transfer = transferListOf(args);
  if (transfer.length > 0 && worker === 'thread') return handedOver(args, nameOf, attempts);
  const copies = args.map((arg, index) => snapshot(arg, nameOf(index), worker));
  // A process has no part in this one's memory: what is moved there leaves the caller, and is copied all the same.
  if (transfer.length > 0) structuredClone(undefined, { transfer: transfer as never });
  return copies;
}

/** One value as it is now. `what` is what the error calls it. */
export function snapshot(value: unknown, what: string, worker: WorkerKind): unknown {
  if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return value;
  try {
    return (worker === 'thread' && copyOfBytes(value)) || CLONE_FOR_WORKER[worker](value);
  } catch (cause) {
    throw notCloneable(what, value, cause);
  }
}

/**
 * Large arguments are mostly bytes, and copying those needs no clone algorithm. A clone would also copy the whole memory
 * behind the view.
 */
function copyOfBytes(value: unknown): Uint8Array | undefined {
  if (!types.isUint8Array(value) || value.length === 0) return undefined;
  const { buffer }: { buffer: ArrayBufferLike & { readonly resizable?: boolean } } = value;
  if (!types.isArrayBuffer(buffer) || buffer.resizable) return undefined;
  const copy = new Uint8Array(value);
  // The copy is ours: it need not be copied once more on its way to the thread.
  return copy.length >= LARGE ? move(copy) : copy;
}

/** Buffers that are moved may be reached from several arguments: all cross in one go. */
function handedOver(args: readonly unknown[], nameOf: (index: number) => string, attempts: number): unknown[] {
  const givenAway = transferListOf(args);
  const given = args.map((arg) => {
    const isReachedOtherwise = types.isArrayBufferView(arg) && givenAway.includes(arg.buffer as ArrayBuffer);
    return isReachedOtherwise ? arg : (copyOfBytes(arg) ?? arg);
  });
  const isMoved = given.map((arg) => transferListOf([arg]).length > 0);
  for (const [index, arg] of given.entries()) {
    const what = nameOf(index);
    if (!isMoved[index]) snapshot(arg, what, 'thread');
    else if (isDetached(arg)) throw notCloneable(what, arg, new TypeError(MOVED_BEFORE));
    else if (attempts > 1 && arg instanceof MessagePort) throw notCloneable(what, arg, new TypeError(ONE_PORT));
  }
  try {
    const clones = toThisRealm(structuredClone(given, { transfer: transferListOf(given) as never }));
    // They are moved once more, into the thread.
    return clones.map((clone, index) => (isMoved[index] ? move(clone as ArrayBuffer) : clone));
  } catch (cause) {
    // A port that is closed or was moved away before does not tell, nor does a view whose memory has shrunk.
    const index = given.findIndex((arg) => !isCloneable(arg));
    throw notCloneable(nameOf(index), given[index], cause);
  }
}

function isCloneable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

function isDetached(moved: unknown): boolean {
  const memory = types.isArrayBufferView(moved) ? moved.buffer : moved;
  if (!types.isArrayBuffer(memory)) return false;
  try {
    new Uint8Array(memory);
    return false;
  } catch {
    return true;
  }
}

function notCloneable(what: string, value: unknown, cause: unknown): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_CLONEABLE',
    `Expected ${what} to be cloneable to a thread or process, got ${describeKind(value)} (${toError(cause).message}): pass plain data, or an id that the task can look it up by.`,
    { cause },
  );
}
