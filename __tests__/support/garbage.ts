/** Whether objects are collected. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collections after which an object that is still there must be referenced. */
const MOST_COLLECTIONS = 50;

/** Resolves when it is collected; rejects if it is still referenced. */
export async function untilCollected(reference: WeakRef<object>): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  for (let collections = 0; collections < MOST_COLLECTIONS; collections += 1) {
    // An object that was dereferenced stays until the turn has ended.
    await new Promise(setImmediate);
    collectGarbage();
    if (reference.deref() === undefined) return;
  }
  throw new Error('Expected it to be held by nobody.');
}
