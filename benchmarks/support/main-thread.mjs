// What the main thread spends.
import { readFileSync } from 'node:fs';

const schedule = `/proc/self/task/${process.pid}/schedstat`;

/** Microseconds of CPU that the main thread has used. Only Linux says so; elsewhere it is the time in which the event loop was not idle. */
export function mainThreadCpu() {
  try {
    return Number(readFileSync(schedule, 'latin1').split(' ')[0]) / 1_000;
  } catch {
    return performance.eventLoopUtilization().active * 1_000;
  }
}

/** Starts to count. The result says, in microseconds, what `cpu` was used since, and for how long the event loop was `active`. */
export function watchMainThread() {
  const [cpuBefore, loopBefore] = [mainThreadCpu(), performance.eventLoopUtilization()];
  return () => ({
    cpu: mainThreadCpu() - cpuBefore,
    active: performance.eventLoopUtilization(loopBefore).active * 1_000,
  });
}
