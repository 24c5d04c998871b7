/**
 * The clock and the turns of the event loop, as they were when this package was loaded. Tests may replace the globals with
 * fake ones for a while; a pool, `close` or the watchdog that waited for one of those would wait for ever. Time limits and the waits
 * of `retry` use the globals on purpose: they are what such a test is about.
 */
import { performance } from 'node:perf_hooks';
import * as timers from 'node:timers';

// Not those of the globals, which may be fake already.
export const { setImmediate, setInterval, setTimeout, clearInterval, clearTimeout } = timers;
const resolved = Promise.resolve();
/** `callback` must not throw. */
export const queueMicrotask = (callback: () => void): void => void resolved.then(callback);
/** In the same turn. Where the callback of a promise calls it: when those of all promises have been called. */
export const { nextTick } = process;
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
export const now: () => number = performance.now.bind(performance);
export const eventLoopUtilization: typeof performance.eventLoopUtilization =
  performance.eventLoopUtilization.bind(performance);
