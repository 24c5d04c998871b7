/** Holds a blocking task inside its thread until the test lets it go on, through shared memory. */
import { atEnd } from './cleanup.ts';

export interface ThreadGate {
  /** To be passed to `hold`, `holdThen…` of the thread fixtures. */
  readonly shared: Int32Array;
  /** Resolves when the task's own code has reached the gate. */
  entered(): Promise<void>;
  open(): void;
}

const OPEN = 0;
const ENTERED = 1;

interface AsyncWaiting {
  waitAsync(cells: Int32Array, index: number, value: number): { async: boolean; value: unknown };
}

export function makeThreadGate(): ThreadGate {
  const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  const open = (): void => {
    Atomics.store(shared, OPEN, 1);
    Atomics.notify(shared, OPEN);
  };
  // A test that fails must not leave a thread behind that waits for ever.
  atEnd(open);
  return {
    shared,
    open,
    async entered() {
      await (Atomics as unknown as AsyncWaiting).waitAsync(shared, ENTERED, 0).value;
    },
  };
}
