/** One task, from `add` to its outcome: start → attempt → end of the attempt → another one, or settled. */
import { AsyncContext, NOWHERE } from './async-context.ts';
import { type Attempted, TaskAttempt } from './attempt.ts';
import type { PendingRun } from './backlog.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { ExecutorName } from './executor-names.ts';
import type { AttemptResult } from './executors/executor.ts';
import { Handle, SettledTask, type TaskHandle } from './handle.ts';
import { abandoned, cancelled, type Interruption, timedOut } from './interruption.ts';
import type { Policy } from './options/policy.ts';
import { type Outcome, outcomeOf, type ResponseEnd, type Verdict } from './outcome.ts';
import type { Owner } from './owner.ts';
import type { Reported } from './reporter.ts';
import { delayAfter, isWorthRetrying } from './retry.ts';
import type { Runtime } from './runtime.ts';
import type { TaskDefinition } from './task.ts';
import { localId } from './task-id.ts';
import type { PendingState, TaskState } from './task-state.ts';
import type { Limited } from './time/deadlines.ts';
import { toError } from './to-error.ts';

/** What a task is made of when it is added. */
export interface NewTask {
  readonly definition: TaskDefinition;
  readonly name: string;
  readonly policy: Policy;
  readonly args: readonly unknown[];
  readonly context: unknown;
  readonly owner: Owner<Runtime>;
  /** The id that it has already: a durable task has one before it is run. */
  readonly id?: string;
  /** How often it was started elsewhere. */
  readonly attemptsBefore?: number;
}

/** For tasks that only this process keeps: they are accepted when `add` returns. */
const ACCEPTED = Promise.resolve();

/** An accepted task, from `add` until it has settled. */
export class TaskRun implements TaskHandle, PendingRun, Attempted, Reported, Limited {
  readonly number: number;
  readonly name: string;
  readonly policy: Policy;
  readonly definition: TaskDefinition;
  readonly context: unknown;
  readonly owner: Owner<Runtime>;
  readonly handle: Handle = new Handle(this);
  /** Emptied when the task settles: its list, which keeps the run, must not keep buffers alive. */
  args: readonly unknown[];
  /** How often it was started. Less than `attemptNumber` if an attempt failed before it started: no thread could. */
  attempts: number;
  /** This and the next three belong to the deadlines. */
  deadline = 0;
  deadlineRow: Limited['deadlineRow'];
  previous: Limited | undefined;
  next: Limited | undefined;

  #id: string | undefined;
  /** Holds the async context of the place where the task was added, for what is called here: its function, or its `when`. */
  readonly #addedIn: AsyncContext | undefined;
  readonly #addedAt = performance.now();
  /** Where it is until it has settled. */
  #pending: PendingState = 'waiting';
  #firstStartedAt: number | undefined;
  #attemptStartedAt = 0;
  #ranMs = 0;
  #attemptNumber: number;
  #response: ResponseEnd | undefined;
  /** The attempt that is under way. */
  #current: TaskAttempt | undefined;
  #interruption: Interruption | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #outcome: Outcome | undefined;
  #waiting: Deferred<Outcome> | undefined;
  #onSettled: (() => void) | undefined;

  constructor(task: NewTask) {
    this.definition = task.definition;
    this.name = task.name;
    this.policy = task.policy;
    this.args = task.args;
    this.context = task.context;
    this.owner = task.owner;
    this.#id = task.id;
    this.attempts = task.attemptsBefore ?? 0;
    this.#attemptNumber = this.attempts;
    this.number = this.#runtime.backlog.nextNumber;
    const isCalledHere = this.executor === 'event-loop' || typeof this.policy.when === 'function';
    this.#addedIn = isCalledHere ? new AsyncContext() : undefined;
  }

  get #runtime(): Runtime {
    return this.owner.runtime;
  }

  get id(): string {
    this.#id ??= localId(this.#runtime.idPrefix, this.number);
    return this.#id;
  }

  get priority(): number {
    return this.policy.priority;
  }

  /** The number of the current attempt. */
  get attemptNumber(): number {
    return this.#attemptNumber;
  }

  get isLastAttempt(): boolean {
    return this.#attemptNumber >= this.policy.retry.attempts;
  }

  get executor(): ExecutorName {
    return this.definition.executor;
  }

  get facts(): Reported['facts'] {
    return { id: this.id, name: this.name, executor: this.executor };
  }

  get state(): TaskState {
    return this.#outcome?.state ?? this.#pending;
  }

  get accepted(): Promise<void> {
    return ACCEPTED;
  }

  get isSettled(): boolean {
    return this.#outcome !== undefined;
  }

  get keptForExecutor(): unknown {
    return undefined;
  }

  get isKeptInHistory(): boolean {
    return true;
  }

  get waitedMs(): number {
    return (this.#firstStartedAt ?? performance.now()) - this.#addedAt;
  }

  get ranMs(): number {
    return this.#ranMs;
  }

  /** What happens elsewhere to a task that is abandoned here: the last sentence of the error's message, or nothing. */
  protected get whenAbandoned(): string {
    return '';
  }

  /** Never rejects. Made on demand, since most tasks are never waited for. */
  get settled(): Promise<Outcome> {
    if (this.#waiting === undefined) {
      this.#waiting = deferred();
      if (this.#outcome !== undefined) this.#waiting.resolve(this.#outcome);
    }
    return this.#waiting.promise;
  }

  /** What its outcome will say of its response, however the task ends. */
  responseEnded(end: ResponseEnd): void {
    this.#response = end;
  }

  /** Begins the first attempt. `onSettled` is called when there will be no other. */
  start(onSettled?: () => void): void {
    this.#onSettled = onSettled;
    this.#beginAttempt();
  }

  /** Settles a task that will not be run. */
  skip(): void {
    this.#settle({ state: 'skipped' });
  }

  /** Settles a task that could not be started. */
  fail(error: Error): void {
    this.#settle({ state: 'failed', error });
  }

  /** Returns whether there was still something to cancel. */
  cancel(reason?: unknown): boolean {
    if (this.isSettled) return false;
    this.#interrupt(cancelled(this.name, reason));
    return true;
  }

  /** `close` has run out of time. */
  abandon(): void {
    if (this.isSettled) return;
    this.#interrupt(abandoned(this.name, this.#pending, this.whenAbandoned));
  }

  /** The time limit of the running attempt has passed. */
  timeOut(): void {
    this.#interrupt(timedOut(this.name, this.policy.timeout));
  }

  #beginAttempt(): void {
    this.#attemptNumber += 1;
    const executor = this.#runtime.executors[this.executor];
    const attempt = new TaskAttempt(this, executor);
    this.#current = attempt;
    if (this.#addedIn === undefined) executor.execute(attempt);
    else this.#addedIn.runInAsyncScope(executor.execute, executor, attempt);
  }

  attemptStarted(attempt: TaskAttempt, at = performance.now()): void {
    if (attempt !== this.#current) return;
    this.attempts += 1;
    this.#firstStartedAt ??= at;
    this.#runsFrom(at);
    this.#runtime.reporter.started(this);
  }

  #runsFrom(at: number): void {
    this.#attemptStartedAt = at;
    this.#moveTo('running');
    if (this.policy.timeout !== Number.POSITIVE_INFINITY) {
      this.#runtime.deadlines.set(this, this.policy.timeout, performance.now());
    }
  }

  /** Its time limit is for its code, and not for the wait for another thread or process. A start that was none is forgotten. */
  attemptReturned(attempt: TaskAttempt): void {
    if (attempt !== this.#current) return;
    this.#runtime.deadlines.clear(this);
    if (this.#firstStartedAt === this.#attemptStartedAt) this.#firstStartedAt = undefined;
    this.#moveTo('waiting');
  }

  attemptResumed(attempt: TaskAttempt, at = performance.now()): void {
    if (attempt !== this.#current) return;
    this.#firstStartedAt ??= at;
    this.#runsFrom(at);
  }

  attemptEnded(attempt: TaskAttempt, result: AttemptResult, ranMs?: number): void {
    if (attempt !== this.#current) return;
    this.#current = undefined;
    if (result.ok && result.warning !== undefined) this.#runtime.reporter.warned(this.facts, result.warning);
    this.#runtime.deadlines.clear(this);
    if (this.#pending === 'running') this.#ranMs += ranMs ?? performance.now() - this.#attemptStartedAt;
    this.#decide(result);
  }

  #decide(result: AttemptResult): void {
    const interruption = this.#interruption;
    this.#interruption = undefined;
    if (interruption !== undefined) {
      if (interruption.state === 'timed-out' && this.#tryAgainAfter(interruption.error)) return;
      this.#settle(interruption);
    } else if (result.ok) {
      this.#settle({ state: 'completed', value: result.value });
    } else {
      const error = toError(result.thrown);
      if (!this.#tryAgainAfter(error)) this.#settle({ state: 'failed', error });
    }
  }

  #tryAgainAfter(error: Error): boolean {
    if (this.isLastAttempt || !this.#isWorthRetrying(error) || this.isSettled) return false;
    return this.tryAgain(error);
  }

  /** Returns whether it is this run that goes on. */
  protected tryAgain(error: Error): boolean {
    const delayMs = delayAfter(this.#attemptNumber, this.policy.retry);
    this.#moveTo('retrying');
    this.#retryTimer = setTimeout(() => {
      // A test may have exchanged the timers since: not all fake ones clear a real one.
      if (this.isSettled) return;
      this.#moveTo('waiting');
      this.#beginAttempt();
    }, delayMs);
    this.#runtime.reporter.retrying(this, error, delayMs);
    return true;
  }

  #isWorthRetrying(error: Error): boolean {
    try {
      return isWorthRetrying(this.name, error, this.policy.retry);
    } catch (thrown) {
      this.#runtime.reporter.hookThrew(toError(thrown));
      return false;
    }
  }

  #interrupt(interruption: Interruption): void {
    // A time limit gives way: a task that is cancelled just after it would be tried again otherwise.
    if (this.#interruption !== undefined && this.#interruption.state !== 'timed-out') return;
    const attempt = this.#current;
    if (attempt === undefined) {
      clearTimeout(this.#retryTimer);
      this.inOwnContext(() => this.#settle(interruption));
      return;
    }
    const isBeingEnded = this.#interruption !== undefined;
    this.#interruption = interruption;
    if (!isBeingEnded) this.inOwnContext(() => attempt.executor.abort(attempt, interruption.error));
  }

  /**
   * Its `when` and listeners, those of its signal among them, must see neither the async context of the code that cancels
   * nor that of another task of the response.
   */
  inOwnContext(call: () => void): void {
    (this.#addedIn ?? NOWHERE).runInAsyncScope(call);
  }

  #settle(verdict: Verdict): void {
    // A listener, a `when` or a `retryIf` may have cancelled the task that it was told or asked about.
    if (this.isSettled) return;
    const outcome = outcomeOf(this, verdict, this.#response);
    this.#outcome = outcome;
    const { backlog, endings } = this.#runtime;
    backlog.settled(this, this.#pending, outcome.state);
    endings.call(this.#conclude, this, outcome);
  }

  /** Everybody is told. Until then `idle()` waits: who hears of the end may add a task. */
  #conclude(outcome: Outcome): void {
    try {
      this.report(outcome);
    } finally {
      // Even where the stack has run out, as in code of the application that adds tasks in an endless recursion.
      this.#letGo(outcome);
    }
  }

  #letGo(outcome: Outcome): void {
    this.args = [];
    this.#waiting?.resolve(outcome);
    Handle.settle(this.handle, new SettledTask(outcome, this.accepted, this.#waiting?.promise));
    // Starts the next task of the list, before `release` may find the backlog idle.
    this.#onSettled?.();
    this.#runtime.backlog.release(this);
  }

  protected report(outcome: Outcome): void {
    this.#runtime.reporter.settled(this, outcome);
  }

  #moveTo(state: PendingState): void {
    this.#runtime.backlog.moved(this, this.#pending, state);
    this.#pending = state;
  }
}
