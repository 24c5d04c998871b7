/** Tells the watchdog of one instance's work, and records what the watchdog finds. */
import { RunningTask } from '../current-task.ts';
import type { TurnObserver } from '../executors/event-loop.ts';
import type { ResolvedWatchdogOptions } from '../options/watchdog.ts';
import type { Owner } from '../owner.ts';
import type { Runtime } from '../runtime.ts';
import { watchdog } from './watchdog.ts';
import type { Block, Watched } from './watched.ts';

export class InstanceWatch implements Watched, TurnObserver {
  readonly threshold: number;
  readonly stacks: boolean;
  readonly logs: boolean;
  readonly #owner: Owner<Runtime>;
  #isAttached = false;
  #isEnded = false;
  #hasSaidWithoutStacks = false;

  constructor({ threshold, stacks }: ResolvedWatchdogOptions, owner: Owner<Runtime>, logs: boolean) {
    this.threshold = threshold;
    this.stacks = stacks;
    this.logs = logs;
    this.#owner = owner;
  }

  /** An instance is watched from its first request or task on: while a server starts up, it may block. */
  requested(): void {
    this.#attach();
    watchdog.requested();
  }

  began(): number {
    this.#attach();
    return watchdog.began();
  }

  ended(task: RunningTask, beganAt: number): void {
    watchdog.ended(task, beganAt);
  }

  blocked({ cause, task, request, blockedMs, waitingRequests, stack }: Block): void {
    const owner = RunningTask.ownerOf(task);
    // Tasks of the package's other copy have no owner here, and are reported there.
    if (task !== undefined && owner?.runtime !== this.#owner.runtime) return;
    this.#owner.runtime.reporter.blocks.record({
      cause,
      task: task && { id: task.id, name: task.name },
      request: owner?.request ?? request,
      blockedMs,
      waitingRequests,
      // Another instance may have asked for stacks.
      stack: (this.stacks && stack?.frames) || [],
      call: this.stacks ? stack?.call : undefined,
    });
  }

  stacksUnavailable(reason: string): void {
    if (this.#hasSaidWithoutStacks) return;
    this.#hasSaidWithoutStacks = true;
    this.#owner.runtime.reporter.blocks.stacksUnavailable(reason);
  }

  /** Logs the summary, and is not watched any more. What `close` has waited for may have blocked until this very turn. */
  async end(): Promise<void> {
    this.#isEnded = true;
    if (this.#isAttached) await watchdog.catchUp();
    this.#owner.runtime.reporter.blocks.summarize();
    watchdog.detach(this);
  }

  #attach(): void {
    if (this.#isAttached || this.#isEnded) return;
    this.#isAttached = true;
    watchdog.attach(this);
  }
}
