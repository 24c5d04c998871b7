/** Knows when the event loop stood still, and whose fault it was. There is one in a process: two would stop each other's stacks. */
import { AsyncResource } from 'node:async_hooks';
import type { RunningTask } from '../current-task.ts';
import { processWide } from '../process-wide.ts';
import type { Whereabouts } from './block.ts';
import { Watch, type Watched } from './watch.ts';

export class Watchdog {
  readonly #watched = new Set<Watched>();
  #watch: Watch | undefined;
  /** What it tells of belongs to no request, though it was one that set it going. */
  readonly #neutral = new AsyncResource('BackgroundTaskWatchdog');

  /** To be called when it is worth watching: at the first request or task. */
  attach(watched: Watched): void {
    this.#watched.add(watched);
    if (this.#watch !== undefined && isCovered(watched, this.#watch)) return;
    this.#watch?.stop();
    this.#watch = this.#neutral.runInAsyncScope(() => new Watch(this.#watched));
  }

  detach(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size > 0) return;
    this.#watch?.stop();
    this.#watch = undefined;
  }

  /** A request has come. */
  requested(): void {
    this.#watch?.requested();
  }

  /** A piece of a task's work begins. When it has ended, {@link ended} is to be called with what this returns. */
  began(): number {
    return this.#watch?.began() ?? 0;
  }

  ended(task: RunningTask, beganAt: number): void {
    this.#watch?.ended(task, beganAt);
  }

  /** What the watchdog's thread asks this one while it has stopped it; by name, through the debugger. Asked where a task has just returned to, it is told the task. */
  look(task?: RunningTask): Whereabouts | undefined {
    return this.#watch?.look(task);
  }
}

export const watchdog: Watchdog = processWide('watchdog', () => new Watchdog());

function isCovered({ threshold, stacks }: Watched, watch: Watch): boolean {
  return threshold >= watch.threshold && (watch.stacks || !stacks);
}
