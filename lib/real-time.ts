/**
 * The clock and the turns of the real event loop, as they were when this package was loaded. Tests exchange the globals for
 * fake ones, for a while: what a pool, `close` or the watchdog waits for meanwhile would never come, nor afterwards. Time
 * limits and the waits of `retry` are not taken from here: those are what such a test is about.
 */
export const { setImmediate, setInterval, setTimeout, clearTimeout, queueMicrotask } = globalThis;
export const now: () => number = performance.now.bind(performance);
export const eventLoopUtilization: typeof performance.eventLoopUtilization =
  performance.eventLoopUtilization.bind(performance);
