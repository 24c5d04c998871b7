/** What Linux counts for each thread: how long it ran, and how long it waited for a core. */
import { readFileSync, readlinkSync } from 'node:fs';
import { sharedNow } from '../../time/clock.ts';

const NANOSECONDS_PER_MS = 1_000_000;

/** Since the thread's start. */
interface Scheduling {
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** The reading thread may lose its core meanwhile: the counts are those of some moment between the two times. */
export interface SchedulingReading extends Partial<Scheduling> {
  readonly askedAt: number;
  readonly readAt: number;
}

/** The file with the counts of the calling thread; `undefined` where the system has none. */
export function ownSchedulingFile(): string | undefined {
  try {
    return `/proc/${readlinkSync('/proc/thread-self')}/schedstat`;
  } catch {
    return undefined;
  }
}

export function readScheduling(file: string | undefined): SchedulingReading {
  const askedAt = sharedNow();
  const scheduling = countsIn(file);
  return { ...scheduling, askedAt, readAt: sharedNow() };
}

function countsIn(file: string | undefined): Scheduling | undefined {
  if (file === undefined) return undefined;
  try {
    const [ran, waited] = readFileSync(file, 'latin1').split(' ');
    return { ranMs: Number(ran) / NANOSECONDS_PER_MS, waitedMs: Number(waited) / NANOSECONDS_PER_MS };
  } catch {
    return undefined;
  }
}
