/** Runs tasks where they were added: on the event loop. */

import { type RunningTask, taskContext } from '../current-task.ts';
import { deferred } from '../deferred.ts';
import { isThenable } from '../hooks.ts';
import { Nesting } from '../nesting.ts';
import type { Callable } from '../task.ts';
import { queueMicrotask } from '../time/real-time.ts';
import { doneWithin } from '../time/timers.ts';
import type { Attempt, AttemptResult, Executor } from './executor.ts';

/** How a target becomes a function to call; asynchronous where a module has to be loaded. */
export type Resolve = (attempt: Attempt) => Callable | Promise<Callable>;

/** Makes the result of an attempt of the value that was returned. */
type Conclude = (value: unknown, attempt: Attempt) => AttemptResult;

/** Is told when a task's first turn of the event loop begins, and when it ends. */
export interface TurnObserver {
  /** What it returns is handed back at the end of the turn. */
  began(): number;
  ended(task: RunningTask, beganAt: number): void;
}

/** What is kept of an attempt that was aborted. */
const GIVEN_UP = Symbol('given up');

export class EventLoopExecutor implements Executor {
  readonly #resolve: Resolve;
  readonly #conclude: Conclude;
  readonly #observer: TurnObserver | undefined;
  /** How many attempts were given up while their code runs on. They are not held here: what never ends must not be kept for ever. */
  #unheeding = 0;
  /** A task may add the next, and that the next. */
  readonly #nesting = new Nesting();
  #whenHeeded: (() => void) | undefined;

  constructor(resolve: Resolve, conclude: Conclude = (value) => ({ ok: true, value }), observer?: TurnObserver) {
    this.#resolve = resolve;
    this.#conclude = conclude;
    this.#observer = observer;
  }

  execute(attempt: Attempt): void {
    this.#nesting.call(this.#execute, this, attempt);
  }

  #execute(attempt: Attempt): void {
    attempt.started();
    if (attempt.kept === GIVEN_UP) {
      // A `started` listener has cancelled it: its code must not begin.
      this.#end(attempt, { ok: false, thrown: undefined });
      return;
    }
    let returned: unknown;
    let isPending: boolean;
    try {
      returned = this.#observer === undefined ? this.#enter(attempt) : this.#enterObserved(attempt, this.#observer);
      isPending = isThenable(returned);
    } catch (thrown) {
      this.#end(attempt, { ok: false, thrown });
      return;
    }
    if (isPending) void this.#endAfter(returned, attempt);
    else this.#end(attempt, this.#conclude(returned, attempt));
  }

  #enter(attempt: Attempt): unknown {
    return taskContext.run(attempt.task, this.#call, attempt, this.#resolve(attempt));
  }

  #enterObserved(attempt: Attempt, observer: TurnObserver): unknown {
    const beganAt = observer.began();
    try {
      return this.#enter(attempt);
    } finally {
      observer.ended(attempt.task, beganAt);
    }
  }

  /** `await` copes with a `then` of the user's that throws, calls both callbacks, or calls one twice. */
  async #endAfter(returned: unknown, attempt: Attempt): Promise<void> {
    let value: unknown;
    try {
      value = await returned;
    } catch (thrown) {
      this.#end(attempt, { ok: false, thrown });
      return;
    }
    this.#end(attempt, this.#conclude(value, attempt));
  }

  readonly #call = (attempt: Attempt, resolved: ReturnType<Resolve>): unknown => {
    if (typeof resolved === 'function') return resolved(...attempt.args);
    // It may be given up while its module is loaded.
    return resolved.then((call) => (attempt.kept === GIVEN_UP ? undefined : call(...attempt.args)));
  };

  abort(attempt: Attempt, reason: Error): void {
    attempt.kept = GIVEN_UP;
    this.#unheeding += 1;
    attempt.ended({ ok: false, thrown: reason });
    // In a microtask, when all tasks that end together have settled and been logged: an abort listener may never return.
    taskContext.run(attempt.task, queueMicrotask, () => attempt.task.abort(reason));
  }

  /** Code that heeds its signal gets the grace to clean up. Code that does not cannot be ended. */
  async close(grace: number): Promise<void> {
    if (this.#unheeding === 0) return;
    const heeded = deferred();
    this.#whenHeeded = heeded.resolve;
    await doneWithin(grace, heeded.promise);
  }

  #end(attempt: Attempt, result: AttemptResult): void {
    if (attempt.kept !== GIVEN_UP) {
      attempt.ended(result);
      return;
    }
    this.#unheeding -= 1;
    if (this.#unheeding === 0) this.#whenHeeded?.();
  }
}
