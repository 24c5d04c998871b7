/**
 * Whose turn it is to pause the main thread: one that two debuggers pause at once may stay paused for ever. There may be a
 * watchdog in each realm of a process: test runners load the application anew for each test file.
 */
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';

/** Not on `globalThis`, of which each realm has its own. */
const KEY = 'express-background-tasks.sampling-turn';
const NOBODY = 0;

/** The memory that all watchdogs of this thread share. */
export function turnMemory(): SharedArrayBuffer {
  const known = getEnvironmentData(KEY) as unknown as SharedArrayBuffer | undefined;
  if (known !== undefined) return known;
  const memory = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  setEnvironmentData(KEY, memory as never);
  return memory;
}

export class SamplingTurn {
  readonly #holder: Int32Array;
  readonly #threadId: number;

  /** @param threadId that of the watchdog's thread. */
  constructor(memory: SharedArrayBuffer, threadId: number) {
    this.#holder = new Int32Array(memory);
    this.#threadId = threadId;
  }

  /** `false` while it is another's. */
  take(): boolean {
    return Atomics.compareExchange(this.#holder, 0, NOBODY, this.#threadId) === NOBODY;
  }

  /** Does nothing where it is another's. */
  pass(): void {
    Atomics.compareExchange(this.#holder, 0, this.#threadId, NOBODY);
  }
}
