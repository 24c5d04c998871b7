/** Whether objects are collected. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collections after which an object that is still there must be referenced. */
const MOST_COLLECTIONS = 50;
const QUICK_COLLECTION_EVERY = 20;

type Collect = (options?: { readonly type: 'minor' }) => void;

function makeCollect(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

/** Resolves when it is collected; rejects if it is still referenced. */
export async function untilCollected(reference: WeakRef<object>): Promise<void> {
  const collectGarbage = makeCollect();
  for (let collections = 0; collections < MOST_COLLECTIONS; collections += 1) {
    // An object that was dereferenced stays until the turn has ended.
    await new Promise(setImmediate);
    collectGarbage();
    if (reference.deref() === undefined) return;
  }
  throw new Error('Expected it to be held by nobody.');
}

/** The bytes that `work`, done that many times, leaves behind each time when there are only quick collections. */
export async function leftByQuickCollections(times: number, work: () => Promise<unknown>): Promise<number> {
  const collectGarbage = makeCollect();
  const workOften = async (): Promise<void> => {
    for (let done = 1; done <= times; done += 1) {
      await work();
      if (done % QUICK_COLLECTION_EVERY === 0) collectGarbage({ type: 'minor' });
    }
  };
  // What lives on becomes old before it counts.
  await workOften();
  collectGarbage();
  const { heapUsed } = process.memoryUsage();
  await workOften();
  return (process.memoryUsage().heapUsed - heapUsed) / times;
}
