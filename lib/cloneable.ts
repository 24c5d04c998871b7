/** What can cross to another thread, found out when it can still be refused to the handler. */
import { Blob } from 'node:buffer';
import { types } from 'node:util';
import { DefaultSerializer, deserialize } from 'node:v8';
import { describeKind } from './describe.ts';
import { BackgroundTaskError, letGoOfFrames } from './errors.ts';
import type { ExecutorName, WorkerKind } from './executor-names.ts';
import { move, transferListOf } from './move.ts';
import { toThisRealm } from './realm.ts';
import { toError } from './to-error.ts';

/** A way to copy a value; throws where the value cannot go that way. */
export type Clone = (value: unknown) => unknown;

function cloneByAlgorithm(value: unknown): unknown {
  return toThisRealm(structuredClone(value));
}

/** What the channel to a child process does, which takes less than a thread's port: no shared memory, no ports. */
function cloneBySerialization(value: unknown): unknown {
  // Since Node 22 the serializer takes it for an object in which there is nothing.
  if (value instanceof Blob) throw new TypeError(`${describeKind(value)} could not be cloned.`);
  const serializer = new ProcessSerializer();
  serializer.writeHeader();
  serializer.writeValue(value);
  return toThisRealm(deserialize(serializer.releaseBuffer()) as unknown);
}

/** Refuses views of shared memory: they would be copied, and code waiting for the other side to write would hang. */
class ProcessSerializer extends DefaultSerializer {
  // The serializer calls it for every typed array and Buffer, and for objects of Node's own.
  _writeHostObject(view: object): void {
    // Node's own message would show what is in it.
    if (!types.isArrayBufferView(view)) throw new TypeError(`${describeKind(view)} could not be cloned.`);
    if (types.isSharedArrayBuffer(view.buffer)) throw new TypeError('Shared memory could not be cloned.');
    // biome-ignore lint/suspicious/noExplicitAny: Node's types leave the method out.
    (DefaultSerializer.prototype as any)._writeHostObject.call(this, view);
  }
}

/** How values are copied on their way to workers and back. */
export const CLONE_FOR_WORKER: Readonly<Record<WorkerKind, Clone>> = {
  thread: cloneByAlgorithm,
  process: cloneBySerialization,
};

/** The same for every executor; `undefined` where nothing crosses, and nothing is copied. */
export function cloneFor(executor: ExecutorName): Clone | undefined {
  return executor === 'thread' || executor === 'process' ? CLONE_FOR_WORKER[executor] : undefined;
}

/**
 * The arguments as they are now: what the handler changes later does not reach the task.
 *
 * @param attempts how many there may be.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_NOT_CLONEABLE` with the task's name and the argument's index.
 */
export function snapshotArguments(
  args: readonly unknown[],
  taskName: string,
  clone: Clone,
  attempts: number,
): unknown[] {
  const nameOf = (index: number): string => `argument ${index} of task ${taskName}`;
  const transfer = transferListOf(args);
  if (transfer.length > 0 && clone === cloneByAlgorithm) return handedOver(args, nameOf, attempts);
  const copies = args.map((arg, index) => snapshot(arg, nameOf(index), clone));
  // A process has no part in this one's memory: what is moved there leaves the caller, and is copied all the same.
  if (transfer.length > 0) structuredClone(undefined, { transfer: transfer as never });
  return copies;
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
    if (!isMoved[index]) snapshot(arg, what, cloneByAlgorithm);
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

/** One value as it is now. `what` is what the error calls it. */
export function snapshot(value: unknown, what: string, clone: Clone): unknown {
  if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return value;
  try {
    return (clone === cloneByAlgorithm && copyOfBytes(value)) || clone(value);
  } catch (cause) {
    throw notCloneable(what, value, cause);
  }
}

const MOVED_BEFORE = 'It was moved away before.';
/** Each attempt but the last is given a copy of what is moved. */
const ONE_PORT = 'It can be moved only once, and `retry` allows several attempts.';

/** From this size on, in bytes, saving a copy is worth sending the task in a message of its own. */
const LARGE = 65_536;

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

/** Arguments that could be copied, and then not be sent or not be read: most are nested too deep for one of the stacks. */
export function lostArguments(taskName: string, cause: Error): BackgroundTaskError {
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_CLONEABLE',
    `Expected the arguments of task ${taskName} to get to its thread or process (${cause.message}): pass less, or what is nested less deep.`,
    { cause },
  );
  return letGoOfFrames(error);
}

/** A result that cannot leave its thread. Only a warning, since the task itself has done its work. */
export function lostResult(taskName: string, reason: string): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_RESULT_NOT_CLONEABLE',
    `Expected the result of task ${taskName} to be cloneable from its thread or process; the task has completed, and its value is undefined: ${reason}`,
  );
}

function notCloneable(what: string, value: unknown, cause: unknown): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_CLONEABLE',
    `Expected ${what} to be cloneable to a thread or process, got ${describeKind(value)} (${toError(cause).message}): pass plain data, or an id that the task can look it up by.`,
    { cause },
  );
}
