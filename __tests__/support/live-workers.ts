/** The threads and child processes that this process has, as the system counts them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const TASKS = '/proc/self/task';

/** Only Linux gives both without another program. */
export const canCountWorkers: boolean = existsSync(`${TASKS}/${process.pid}/children`);

export interface LiveWorkers {
  /** All threads, Node's own included: only a difference says something. */
  readonly threads: number;
  readonly children: number;
}

export function countWorkers(): LiveWorkers {
  const threads = readdirSync(TASKS);
  const children = threads.flatMap((thread) => childrenOf(thread));
  return { threads: threads.length, children: children.length };
}

function childrenOf(thread: string): string[] {
  try {
    return readFileSync(`${TASKS}/${thread}/children`, 'utf8').split(' ').filter(Boolean);
  } catch {
    return []; // It has ended since.
  }
}
