/** One task through its named steps: start → attempt → settle → report. */
import { AsyncResource } from 'node:async_hooks';
import { type Attempted, TaskAttempt } from './attempt.ts';
import type { Backlog, TaskState } from './backlog.ts';
import type { Deadlines, Limited } from './deadlines.ts';
import { describe } from './describe.ts';
import { BackgroundTaskError, codeOf } from './errors.ts';
import type { AttemptResult, Executor } from './executors/executor.ts';
import type { ExecutorName } from './executors/names.ts';
import { Handle, type TaskHandle } from './handle.ts';
import { ask } from './hooks.ts';
import type { Outcome, ResponseEnd, UnsuccessfulOutcome, Verdict } from './outcome.ts';
import type { Policy } from './policy.ts';
import type { Reported, Reporter } from './report.ts';
import { delayAfter } from './retry.ts';
import type { TaskDefinition } from './task.ts';
import { isError, toError } from './to-error.ts';

/** What every run of an instance shares. */
export interface Runtime {
  readonly executors: Readonly<Record<ExecutorName, Executor>>;
  readonly backlog: Backlog<TaskRun>;
  readonly reporter: Reporter;
  readonly deadlines: Deadlines;
  /** Begins every id, so that ids of two processes differ. */
  readonly idPrefix: string;
}

/** Whoever a task was added to: a response's list, or the instance itself. */
export interface Owner {
  readonly runtime: Runtime;
  /** The request that a response's list belongs to, in words. */
  readonly request?: { readonly method: string; readonly route: string };
}

/** Why a task ends before its time. */
type Interruption = { readonly state: Exclude<UnsuccessfulOutcome['state'], 'failed'>; readonly error: Error };

/** What those wait on who ask for the outcome. */
interface Waiting {
  readonly settled: Promise<Outcome>;
  readonly resolve: (outcome: Outcome) => void;
}

function waitForOutcome(): Waiting {
  let resolve: Waiting['resolve'] = () => {};
  const settled = new Promise<Outcome>((resolveSettled) => {
    resolve = resolveSettled;
  });
  return { settled, resolve };
}

/** What a task is made of when it is added. */
export interface NewTask {
  readonly definition: TaskDefinition;
  readonly name: string;
  readonly policy: Policy;
  readonly args: readonly unknown[];
  readonly context: unknown;
  readonly owner: Owner;
  /** Where somebody else knows it by an id already. */
  readonly id?: string;
  /** How often it was started elsewhere. */
  readonly attemptsBefore?: number;
}

/** Of a task that is kept by nobody but this process. */
const ACCEPTED = Promise.resolve();

/** These cannot go better the next time: the module or the export is not there. */
const NEVER_RETRIED: ReadonlySet<unknown> = new Set(['ERR_BACKGROUND_MODULE', 'ERR_BACKGROUND_EXPORT']);

/** An accepted task, from `add` until it has settled. */
export class TaskRun implements TaskHandle, Attempted, Reported, Limited {
  readonly number: number;
  readonly name: string;
  readonly policy: Policy;
  readonly definition: TaskDefinition;
  readonly context: unknown;
  readonly owner: Owner;
  readonly handle: TaskHandle = new Handle(this);
  /** Let go of when the task has settled: a handle that somebody keeps must not keep buffers alive. */
  args: readonly unknown[];
  /** How often it was started. An attempt may fail before it starts: where no thread can. */
  attempts: number;
  deadline = 0;
  deadlineRow: Limited['deadlineRow'];
  previousDeadline: Limited | undefined;
  nextDeadline: Limited | undefined;

  #id: string | undefined;
  /** Holds the async context of the place where the task was added. Threads have one of their own. */
  readonly #addedIn: AsyncResource | undefined;
  readonly #addedAt = performance.now();
  #state: TaskState = 'waiting';
  #firstStartedAt: number | undefined;
  #attemptStartedAt = 0;
  #ranMs = 0;
  #tries: number;
  #response: ResponseEnd | undefined;
  #attempt: TaskAttempt | undefined;
  #interruption: Interruption | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #outcome: Outcome | undefined;
  #waiting: Waiting | undefined;
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
    this.#tries = this.attempts;
    this.number = this.#runtime.backlog.nextNumber;
    this.#addedIn = task.definition.target.kind === 'function' ? new AsyncResource('BackgroundTask') : undefined;
    this.#runtime.backlog.accept(this);
    this.#runtime.reporter.added(this);
  }

  get #runtime(): Runtime {
    return this.owner.runtime;
  }

  get id(): string {
    this.#id ??= `${this.#runtime.idPrefix}-${this.number.toString(36)}`;
    return this.#id;
  }

  get priority(): number {
    return this.policy.priority;
  }

  /** The number of the current attempt. */
  get attempt(): number {
    return this.#tries;
  }

  get isLastAttempt(): boolean {
    return this.#tries >= this.policy.retry.attempts;
  }

  get executor(): ExecutorName {
    return this.definition.executor;
  }

  get facts(): { id: string; name: string; executor: ExecutorName } {
    return { id: this.id, name: this.name, executor: this.executor };
  }

  get state(): TaskState {
    return this.#state;
  }

  get accepted(): Promise<void> {
    return ACCEPTED;
  }

  get isSettled(): boolean {
    return this.#outcome !== undefined;
  }

  get waitedMs(): number {
    return (this.#firstStartedAt ?? performance.now()) - this.#addedAt;
  }

  get ranMs(): number {
    return this.#ranMs;
  }

  /** Never rejects. Made when somebody asks for it: most tasks are never waited for. */
  get settled(): Promise<Outcome> {
    if (this.#waiting === undefined) {
      this.#waiting = waitForOutcome();
      if (this.#outcome !== undefined) this.#waiting.resolve(this.#outcome);
    }
    return this.#waiting.settled;
  }

  /** Begins the first attempt. `onSettled` is called when there will be no other. */
  start(response?: ResponseEnd, onSettled?: () => void): void {
    this.#response = response;
    this.#onSettled = onSettled;
    this.#beginAttempt();
  }

  /** Settles a task that will not be run. */
  skip(response?: ResponseEnd): void {
    this.#response = response;
    this.#settle({ state: 'skipped' });
  }

  /** Settles a task that could not be started. */
  fail(error: Error, response?: ResponseEnd): void {
    this.#response = response;
    this.#settle({ state: 'failed', error });
  }

  /** Returns whether there was still something to cancel. */
  cancel(reason?: unknown): boolean {
    if (this.isSettled) return false;
    const because = reason === undefined ? '' : `: ${isError(reason) ? reason.message : describe(reason)}`;
    const error = new BackgroundTaskError('ERR_BACKGROUND_CANCELLED', `Task ${this.name} was cancelled${because}.`, {
      cause: reason,
    });
    this.#interrupt({ state: 'cancelled', error });
    return true;
  }

  /** What becomes of it then, in a sentence that an error's message can go on with: nothing, where nobody else has it. */
  protected get whenAbandoned(): string {
    return '';
  }

  /** `close` has run out of time. */
  abandon(): void {
    if (this.isSettled) return;
    const error = new BackgroundTaskError(
      'ERR_BACKGROUND_ABANDONED',
      `Task ${this.name} was abandoned while it was ${this.#state}: background.close() ran out of time.${this.whenAbandoned}`,
    );
    this.#interrupt({ state: 'abandoned', error });
  }

  #beginAttempt(): void {
    this.#tries += 1;
    const executor = this.#runtime.executors[this.executor];
    const attempt = new TaskAttempt(this, executor);
    this.#attempt = attempt;
    if (this.#addedIn === undefined) executor.execute(attempt);
    else this.#addedIn.runInAsyncScope(executor.execute, executor, attempt);
  }

  /** In the context where it began: its abort listeners must not see that of whoever cancels. */
  #abort(attempt: TaskAttempt, reason: Error): void {
    const { executor } = attempt;
    if (this.#addedIn === undefined) executor.abort(attempt, reason);
    else this.#addedIn.runInAsyncScope(executor.abort, executor, attempt, reason);
  }

  attemptStarted(attempt: TaskAttempt, at = performance.now()): void {
    if (attempt !== this.#attempt) return;
    this.attempts += 1;
    this.#attemptStartedAt = at;
    this.#firstStartedAt ??= this.#attemptStartedAt;
    this.#moveTo('running');
    if (this.policy.timeout !== Number.POSITIVE_INFINITY) {
      this.#runtime.deadlines.set(this, this.policy.timeout, performance.now());
    }
    this.#runtime.reporter.started(this);
  }

  attemptEnded(attempt: TaskAttempt, result: AttemptResult, ranMs?: number): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = undefined;
    if (result.ok && result.warning !== undefined) this.#runtime.reporter.warned(this.facts, result.warning);
    this.#runtime.deadlines.clear(this);
    if (this.#state === 'running') this.#ranMs += ranMs ?? performance.now() - this.#attemptStartedAt;
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
    const delayMs = delayAfter(this.#tries, this.policy.retry);
    this.#moveTo('retrying');
    this.#retryTimer = setTimeout(() => {
      this.#moveTo('waiting');
      this.#beginAttempt();
    }, delayMs);
    this.#runtime.reporter.retrying(this, error, delayMs);
    return true;
  }

  #isWorthRetrying(error: Error): boolean {
    if (NEVER_RETRIED.has(codeOf(error))) return false;
    try {
      return ask(`\`retryIf\` of task ${this.name}`, () => this.policy.retry.retryIf(error));
    } catch (thrown) {
      this.#runtime.reporter.hookThrew(toError(thrown));
      return false;
    }
  }

  /** The time limit of the running attempt has passed. */
  timeOut(): void {
    const { timeout } = this.policy;
    this.#interrupt({
      state: 'timed-out',
      error: new BackgroundTaskError(
        'ERR_BACKGROUND_TIMEOUT',
        `Task ${this.name} ran longer than its timeout of ${timeout} ms.`,
      ),
    });
  }

  #interrupt(interruption: Interruption): void {
    // A cancel that comes while a timed-out attempt is still being ended must not be followed by a retry.
    if (this.#interruption !== undefined && this.#interruption.state !== 'timed-out') return;
    if (this.#attempt === undefined) {
      clearTimeout(this.#retryTimer);
      this.#settle(interruption);
      return;
    }
    const isBeingEnded = this.#interruption !== undefined;
    this.#interruption = interruption;
    if (!isBeingEnded) this.#abort(this.#attempt, interruption.error);
  }

  #settle(verdict: Verdict): void {
    // A listener, a `when` or a `retryIf` may have cancelled the task that it was told or asked about.
    if (this.isSettled) return;
    const outcome = this.#outcomeOf(verdict);
    this.#outcome = outcome;
    this.#moveTo(outcome.state);
    this.report(outcome);
    this.args = [];
    this.#waiting?.resolve(outcome);
    // What this task makes possible starts before idleness is judged.
    this.#onSettled?.();
    this.#runtime.backlog.release(this);
  }

  protected report(outcome: Outcome): void {
    this.#runtime.reporter.settled(this, outcome);
  }

  /** Written out, property by property: spreading costs more than all else at the end of a task. */
  #outcomeOf(verdict: Verdict): Outcome {
    const outcome: { -readonly [Name in keyof Outcome]: unknown } = {
      id: this.id,
      name: this.name,
      executor: this.executor,
      state: verdict.state,
      attempts: this.attempts,
      waitedMs: this.waitedMs,
      ranMs: this.#ranMs,
    };
    if (verdict.state === 'completed') outcome.value = verdict.value;
    else if (verdict.state !== 'skipped') outcome.error = verdict.error;
    if (this.#response !== undefined) outcome.response = this.#response;
    return outcome as Outcome;
  }

  #moveTo(state: TaskState): void {
    this.#runtime.backlog.moved(this, this.#state as 'waiting', state);
    this.#state = state;
  }
}
