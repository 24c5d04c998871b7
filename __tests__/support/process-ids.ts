/** Whether a process exists, according to the system. */
import { readFileSync } from 'node:fs';
import { work } from './time.ts';

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !isZombie(pid);
}

/** A process that has ended, and whose exit code has not been read, still has its id. */
function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    return /^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true; // Gone between the two questions.
  }
}

const QUESTION_INTERVAL = 20;

/**
 * Resolves when the process is gone. The end of a process that is no child of ours is not announced: it has to be polled.
 * One that lives on is killed, and the promise rejects.
 */
export async function untilGone(pid: number, milliseconds: number): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (isAlive(pid)) {
    if (performance.now() > deadline) {
      process.kill(pid, 'SIGKILL');
      throw new Error(`Process ${pid} was still alive after ${milliseconds} ms.`);
    }
    await work(QUESTION_INTERVAL);
  }
}
