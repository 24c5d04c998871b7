/** How values are copied on their way to workers and back. */
import { Blob } from 'node:buffer';
import { types } from 'node:util';
import { DefaultSerializer, deserialize } from 'node:v8';
import { describeKind } from './describe.ts';
import type { WorkerKind } from './executor-names.ts';
import { toThisRealm } from './realm.ts';

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

export const CLONE_FOR_WORKER: Readonly<Record<WorkerKind, Clone>> = {
  thread: cloneByAlgorithm,
  process: cloneBySerialization,
};
