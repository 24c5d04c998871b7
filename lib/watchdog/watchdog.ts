/**
 * Notices that the event loop stood still, and finds the cause. One for the process: two would interfere with each other's
 * pauses of the main thread.
 */
import { NOWHERE } from '../async-context.ts';
import type { RunningTask } from '../current-task.ts';
import { processWide } from '../process-wide.ts';
import type { CurrentWork } from './stack-sample.ts';
import { Watch } from './watch.ts';
import type { Watched } from './watched.ts';
import { WatchedSet } from './watched-set.ts';

class Watchdog {
  readonly #watched = new WatchedSet();
  #watch: Watch | undefined;

  /** To be called at the first request or task of an instance. */
  attach(watched: Watched): void {
    this.#watched.add(watched);
    if (this.#watch !== undefined && isCovered(watched, this.#watch)) return;
    this.#watch?.stop();
    this.#watch = NOWHERE.runInAsyncScope(() => new Watch(this.#watched));
  }

  detach(watched: Watched): void {
    this.#watched.delete(watched);
    if (!this.#watched.isEmpty) return;
    this.#watch?.stop();
    this.#watch = undefined;
  }

  /** Resolves when what has blocked so far is reported. */
  async catchUp(): Promise<void> {
    await this.#watch?.catchUp();
  }

  /** A request has come. */
  requested(): void {
    this.#watch?.requested();
  }

  /** A task begins its first turn. Returns what {@link ended} is to be called with at the end of that turn. */
  began(): number {
    return this.#watch?.work.changed() ?? 0;
  }

  ended(task: RunningTask, beganAt: number): void {
    this.#watch?.work.ended(task, beganAt);
  }

  /** Called by name through the debugger, while this thread is paused (thread/questions.ts). `task` is given where the code of a task has just returned to. */
  currentWork(task?: RunningTask): CurrentWork | undefined {
    return this.#watch?.work.currentWork(task);
  }
}

export const watchdog: Watchdog = processWide('watchdog', () => new Watchdog());

/** Whether a running watch will do for one more instance. */
function isCovered({ threshold, stacks }: Watched, watch: Watch): boolean {
  return threshold >= watch.threshold && (watch.stacks || !stacks);
}
