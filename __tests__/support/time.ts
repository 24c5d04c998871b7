/** Waiting for time to pass, and for conditions that nothing announces. */

/** Work that takes some time. A stimulus, never a way to wait for something else. */
export function work(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** In milliseconds. Checking without a pause would take the core from the code that is waited for. */
const BETWEEN_LOOKS = 2;

/** Resolves when the condition holds, for conditions that nothing announces. */
export async function untilHolds(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await work(BETWEEN_LOOKS);
}

/** Resolves at a moment after which timers fire before anything that comes from outside this thread is read. */
export function untilTimersComeNext(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Blocks the event loop. */
export function blockFor(ms: number): void {
  const passed = performance.now() + ms;
  while (performance.now() < passed);
}
