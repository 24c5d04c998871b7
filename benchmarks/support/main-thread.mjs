// What the main thread spends.
import { readFileSync } from 'node:fs';

/** Microseconds of CPU that the main thread of a process has used. Only Linux says so; elsewhere it is `undefined`. */
export function mainThreadCpuOf(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ')[0]) / 1_000;
  } catch {
    return undefined;
  }
}

/** That of this process; where the system does not say it, the time in which the event loop was not idle. */
export const mainThreadCpu = () => mainThreadCpuOf(process.pid) ?? performance.eventLoopUtilization().active * 1_000;

/** In microseconds, what `cpu` it has used so far, and for how long the event loop has been `active`. */
export const mainThread = () => ({ cpu: mainThreadCpu(), active: performance.eventLoopUtilization().active * 1_000 });

const since = (before, now) => ({ cpu: now.cpu - before.cpu, active: now.active - before.active });

/** Starts to count. The result says what was spent since. */
export function watchMainThread() {
  const before = mainThread();
  return () => since(before, mainThread());
}

/** The same for a side, which is a process of its own. */
export async function watchSide(side) {
  const before = await side.call('mainThread');
  return async () => since(before, await side.call('mainThread'));
}
