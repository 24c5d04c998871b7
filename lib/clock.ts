/** A clock that all threads of the process read alike: `performance.now()` counts from the start of its own thread. */

/** Added to `performance.now()`, it counts from the same moment everywhere. */
export const CLOCK_OFFSET: number = monotonicMs() - performance.now();

/** Milliseconds since a moment that is the same in all threads. */
export function sharedNow(): number {
  return CLOCK_OFFSET + performance.now();
}

function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}
