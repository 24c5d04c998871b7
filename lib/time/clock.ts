/** A clock that all threads of the process read alike: `performance.now()` counts from the start of its own thread. */

import { now } from './real-time.ts';
import { SECOND } from './timers.ts';

const LOOKS = 20;

/** Added to `performance.now()`, it counts from the same moment everywhere. */
export const CLOCK_OFFSET: number = offsetOfPerformance();

/** Milliseconds since a moment that is the same in all threads. */
export function sharedNow(): number {
  return CLOCK_OFFSET + now();
}

/** Since the process was started, in every thread, and under fake timers too. */
function monotonicMs(): number {
  return process.uptime() * SECOND;
}

/**
 * Reads both clocks several times and keeps the tightest reading: if the thread lost its core between the two, the offset
 * would stay wrong.
 */
function offsetOfPerformance(): number {
  let narrowest = Number.POSITIVE_INFINITY;
  let offset = 0;
  for (let look = 0; look < LOOKS; look += 1) {
    const before = now();
    const between = monotonicMs();
    const width = now() - before;
    if (width >= narrowest) continue;
    narrowest = width;
    offset = between - before - width / 2;
  }
  return offset;
}
