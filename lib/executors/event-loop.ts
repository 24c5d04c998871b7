/** Runs tasks where they were added: on the event loop. */
import { taskContext } from '../current-task.ts';
import { isThenable } from '../hooks.ts';
import { delayed } from '../timers.ts';
import type { Attempt, AttemptResult, Executor, ExecutorStats } from './executor.ts';

/** How a target becomes a function to call; asynchronous where a module has to be loaded. */
export type Resolve = (
  attempt: Attempt,
) => ((...args: unknown[]) => unknown) | Promise<(...args: unknown[]) => unknown>;

/** What a value that was returned comes to. */
export type Conclude = (value: unknown, attempt: Attempt) => AttemptResult;

export class EventLoopExecutor implements Executor {
  readonly #resolve: Resolve;
  readonly #conclude: Conclude;
  readonly #running = new Set<Attempt>();
  /** Attempts that were given up while their code runs on. */
  readonly #unheeding = new Set<Attempt>();
  #whenHeeded: (() => void) | undefined;

  constructor(resolve: Resolve, conclude: Conclude = (value) => ({ ok: true, value })) {
    this.#resolve = resolve;
    this.#conclude = conclude;
  }

  execute(attempt: Attempt): void {
    this.#running.add(attempt);
    attempt.started();
    let returned: unknown;
    try {
      returned = taskContext.run(attempt.task, this.#call, attempt, this.#resolve(attempt));
      if (!isThenable(returned)) {
        this.#end(attempt, this.#conclude(returned, attempt));
        return;
      }
      // A `then` of the user's may throw, call both, or call twice: Promise.resolve makes a promise of it that does not.
      const promise = returned instanceof Promise ? returned : Promise.resolve(returned);
      promise.then(
        (value) => this.#end(attempt, this.#conclude(value, attempt)),
        (thrown: unknown) => this.#end(attempt, { ok: false, thrown }),
      );
    } catch (thrown) {
      this.#end(attempt, { ok: false, thrown });
    }
  }

  readonly #call = (attempt: Attempt, resolved: ReturnType<Resolve>): unknown => {
    if (typeof resolved === 'function') return resolved(...attempt.args);
    return resolved.then((call) => call(...attempt.args));
  };

  abort(attempt: Attempt, reason: Error): void {
    if (!this.#running.delete(attempt)) return;
    this.#unheeding.add(attempt);
    try {
      taskContext.run(attempt.task, () => attempt.task.abort(reason));
    } finally {
      attempt.ended({ ok: false, thrown: reason });
    }
  }

  stats(): ExecutorStats {
    return { queued: 0, running: this.#running.size };
  }

  /** Code that heeds its signal gets the grace to put things in order; code that does not cannot be ended by anybody. */
  async close(grace: number): Promise<void> {
    if (this.#unheeding.size === 0) return;
    const heeded = new Promise<void>((resolve) => {
      this.#whenHeeded = resolve;
    });
    await delayed(grace, heeded);
  }

  #end(attempt: Attempt, result: AttemptResult): void {
    if (this.#running.delete(attempt)) attempt.ended(result);
    else if (this.#unheeding.delete(attempt) && this.#unheeding.size === 0) this.#whenHeeded?.();
  }
}
