/** Time that passes, and what is waited for without being told of. */

/** Work that takes some time. A stimulus, never a way to wait for something else. */
export function work(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** In milliseconds. To look without end would take the core from what is waited for. */
const BETWEEN_LOOKS = 2;

/** Resolves when it holds, for what nothing tells of. */
export async function untilHolds(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await work(BETWEEN_LOOKS);
}
