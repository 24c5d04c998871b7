/** Keeps the process from exiting during sampling: Node would print that it waits for the debugger to disconnect, and wait. */
import { now } from '../time/real-time.ts';

const [SAMPLING, CLOSED] = [0, 1];
const BYTES = 2 * Int32Array.BYTES_PER_ELEMENT;

/** How long an exit waits for the end of sampling, in milliseconds, and then for the disconnection to reach this thread. */
const LONGEST_SAMPLING = 200;
const DISCONNECTION = 2;

export class SamplingGate {
  readonly memory: SharedArrayBuffer;
  readonly #flags: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.memory = memory;
    this.#flags = new Int32Array(memory);
  }

  /** By the watchdog's thread, before it samples: `false` if it must not any more. */
  enter(): boolean {
    Atomics.store(this.#flags, SAMPLING, 1);
    if (!this.isClosed) return true;
    this.leave();
    return false;
  }

  leave(): void {
    Atomics.store(this.#flags, SAMPLING, 0);
    Atomics.notify(this.#flags, SAMPLING);
  }

  get isClosed(): boolean {
    return Atomics.load(this.#flags, CLOSED) === 1;
  }

  /**
   * By the watched thread, when the process exits. It waits in many short steps, because only a thread that runs code
   * responds to the debugger.
   */
  close(): void {
    Atomics.store(this.#flags, CLOSED, 1);
    const until = now() + LONGEST_SAMPLING;
    while (Atomics.load(this.#flags, SAMPLING) === 1) {
      if (now() > until) return;
      Atomics.wait(this.#flags, SAMPLING, 1, 1);
    }
    const disconnectedBy = now() + DISCONNECTION;
    while (now() < disconnectedBy);
  }
}
