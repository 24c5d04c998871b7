/** The tasks of one response, from `add` to the response's end and beyond. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { currentOwner } from './current-task.ts';
import { describeKind } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';
import type { TaskHandle } from './handle.ts';
import { ask } from './hooks.ts';
import type { Instance } from './instance.ts';
import { type AddOptions, resolveAddOptions, type When } from './options/task.ts';
import type { ResponseEnd } from './outcome.ts';
import type { Owner } from './owner.ts';
import { routeOf } from './request-route.ts';
import { whenResponseEnded } from './response-end.ts';
import type { TaskRun } from './run.ts';
import type { Runtime } from './runtime.ts';
import { assertStack } from './stack.ts';
import type { Task } from './task.ts';
import type { TaskAdder, TaskList } from './task-list.ts';
import { toError } from './to-error.ts';
import type { BlockedRequest } from './watchdog/block.ts';

/** Most requests add no task: they share this one, which is never written to. */
const NONE: TaskRun[] = [];

export class ResponseTasks implements TaskList, Owner<Runtime> {
  readonly #instance: Instance;
  readonly #res: ServerResponse;
  readonly #req: IncomingMessage;
  #runs: TaskRun[] = NONE;
  #isWatched = false;
  #end: ResponseEnd | undefined;
  /** How many of the runs were judged: none starts before. */
  #judged = 0;
  #isJudging = false;
  /** In sequential order: the first run that was not looked at yet, and whether one is under way. */
  #next = 0;
  #isBusy = false;
  #isAdvancing = false;

  constructor(instance: Instance, req: IncomingMessage, res: ServerResponse) {
    this.#instance = instance;
    this.#req = req;
    this.#res = res;
  }

  get runtime(): Runtime {
    return this.#instance.runtime;
  }

  isOf(res: ServerResponse, instance: Instance): boolean {
    return this.#res === res && this.#instance === instance;
  }

  get request(): BlockedRequest {
    return routeOf(this.#req);
  }

  get size(): number {
    return this.#runs.length;
  }

  *[Symbol.iterator](): Iterator<TaskHandle> {
    for (const run of this.#runs) yield run.handle;
  }

  add<Args extends unknown[], Value>(task: Task<Args, Value>, ...args: Args): TaskHandle<Awaited<Value>> {
    checkIsList(this, 'add');
    return this.#add(task, args, undefined);
  }

  with(options: AddOptions): TaskAdder {
    checkIsList(this, 'with');
    const resolved = resolveAddOptions(options);
    return { add: (task, ...args) => this.#add(task, args, resolved) };
  }

  #add<Value>(task: unknown, args: readonly unknown[], options: AddOptions | undefined): TaskHandle<Value> {
    // First: with what is no response this throws, and the task must not have been accepted.
    if (!this.#isWatched) this.#watch();
    if (this.#end !== undefined) assertStack();
    const run = this.#instance.admission.accept(this, task, args, options, this.#req);
    if (this.#runs === NONE) this.#runs = [run];
    else this.#runs.push(run);
    if (this.#end !== undefined) this.#release(this.#end);
    return run.handle as TaskHandle<Value>;
  }

  #watch(): void {
    try {
      whenResponseEnded(this.#res, (end) => this.#release(end));
    } catch (thrown) {
      throw notAResponse(this.#res, thrown);
    }
    this.#isWatched = true;
  }

  /** The response has ended, now or before a task was added: what `when` rules out settles, the rest starts. */
  #release(end: ResponseEnd): void {
    this.#end = end;
    // Before all else: a `when` or a listener may cancel any of them.
    for (let at = this.#judged; at < this.#runs.length; at += 1) this.#runs[at]?.responseEnded(end);
    // A `when` or a listener may add a task meanwhile: it is judged in its turn, and nothing starts until all are judged.
    if (this.#isJudging) return;
    const first = this.#judged;
    this.#isJudging = true;
    for (let run = this.#runs[first]; run !== undefined; run = this.#runs[this.#judged]) {
      this.#judge(run, end);
      this.#judged += 1;
    }
    this.#isJudging = false;
    for (const run of this.#runs.slice(first, this.#judged)) {
      if (isStartable(run) && this.#waitsForNone(run)) run.start();
    }
    this.#advance();
  }

  #judge(run: TaskRun, end: ResponseEnd): void {
    const { when } = run.policy;
    if (when === 'always' || run.isSettled) return;
    run.inOwnContext(() => {
      try {
        if (!isWanted(when, end, this.#res)) run.skip();
      } catch (thrown) {
        run.fail(toError(thrown));
      }
    });
  }

  /**
   * Two kinds of task do not wait for their turn. Durable tasks go to the engine in the order added, without waiting for
   * tasks that run here: the engine would not wait for those either, once a hold ends. And a task that was added by a
   * running one of the same list starts at once: if its parent awaits it, neither would end otherwise.
   */
  #waitsForNone(run: TaskRun): boolean {
    return run.executor === 'engine' || currentOwner() === this;
  }

  #advance(): void {
    // A synchronous task settles within `start`, and calls this again: the loop below goes on instead of a nested one.
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    while (!this.#isBusy && this.#next < this.#judged) {
      const run = this.#runs[this.#next] as TaskRun;
      this.#next += 1;
      if (!isStartable(run)) continue;
      this.#start(run);
    }
    this.#isAdvancing = false;
  }

  #start(run: TaskRun): void {
    if (this.#instance.options.order === 'parallel') {
      run.start();
      return;
    }
    this.#isBusy = true;
    run.start(() => {
      this.#isBusy = false;
      this.#advance();
    });
  }
}

/** A method that knows its list would have to be made for each request, also for those that add nothing. */
function checkIsList(list: unknown, method: string): void {
  if (list instanceof ResponseTasks) return;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_NO_REQUEST',
    `Expected ${method}() to be called on the list of a response, got a call without it: write res.locals.backgroundTasks.${method}(…).`,
  );
}

/** A router that is tried out alone may have been given an object in place of one. */
function notAResponse(res: unknown, cause: unknown): BackgroundTaskError {
  return new BackgroundTaskError(
    'ERR_BACKGROUND_NO_REQUEST',
    `Expected the middleware to be called with a response, got ${describeKind(res)} that cannot tell when it has ended: give it a ServerResponse of node:http, or what tells it by the same events.`,
    { cause },
  );
}

function isStartable(run: TaskRun): boolean {
  return run.state === 'waiting' && run.attemptNumber === 0;
}

function isWanted(when: Exclude<When, 'always'>, end: ResponseEnd, res: ServerResponse): boolean {
  if (typeof when === 'function') return ask('`when`', () => when({ ...end, res }));
  const succeeded = end.ended === 'sent' && end.statusCode < 400;
  return succeeded === (when === 'success');
}
