/** Where outcomes go: log line, event, history, statistics, the user's hook. Nothing here throws. */

import { describe, describeName } from './describe.ts';
import { Durations } from './durations.ts';
import { errorFields } from './error-fields.ts';
import { type AddedEvent, Events, type StartedEvent } from './events.ts';
import type { ExecutorName } from './executor-names.ts';
import { History } from './history.ts';
import { hookError, notify } from './hooks.ts';
import { createLog, type Level, type Log } from './log.ts';
import { messageOf } from './message-of.ts';
import { Notices } from './notices.ts';
import type { ResolvedOptions } from './options/resolved.ts';
import type { Outcome, OutcomeState, UnsuccessfulOutcome } from './outcome.ts';
import type { NamedTask } from './task.ts';
import { Blocks } from './watchdog/blocks.ts';

/** What can be said of a task at any moment. */
export interface Reported {
  readonly number: number;
  readonly facts: NamedTask & { readonly executor: ExecutorName };
  readonly args: readonly unknown[];
  readonly priority: number;
  /** The number of the current or the last attempt; `0` before the first. */
  readonly attemptNumber: number;
  readonly waitedMs: number;
  readonly ranMs: number;
  /** Whether `find(id)` needs its outcome: it asks the engine for what an engine has sent. */
  readonly isKeptInHistory: boolean;
}

/** The level and the text of each end's log line. The package's own errors name their task themselves. */
const ENDINGS: Readonly<Record<OutcomeState, { readonly level: Level; readonly line: (outcome: Outcome) => string }>> =
  {
    completed: { level: 'debug', line: ({ name }) => `Task ${name} completed` },
    skipped: { level: 'debug', line: ({ name }) => `Task ${name} was skipped` },
    failed: { level: 'error', line: ({ name, error }) => `Task ${name} failed: ${error && messageOf(error)}` },
    cancelled: { level: 'info', line: ({ error }) => `${error?.message}` },
    'timed-out': { level: 'error', line: ({ error }) => `${error?.message}` },
    abandoned: { level: 'error', line: ({ error }) => `${error?.message}` },
  };

function toAddedEvent({ facts, priority }: Reported): AddedEvent {
  return { ...facts, priority };
}

function toStartedEvent({ facts, attemptNumber, waitedMs }: Reported): StartedEvent {
  return { ...facts, attempt: attemptNumber, waitedMs };
}

const asItIs = (outcome: Outcome): Outcome => outcome;

/** What the task threw, with its stack. An error that the package ended it with says everything in its message. */
function errorOf({ state, error }: Outcome): { error?: Record<string, unknown> } {
  if (error === undefined) return {};
  const { stack, ...rest } = errorFields(error);
  return { error: state === 'failed' ? { ...rest, stack } : rest };
}

export class Reporter {
  readonly events: Events;
  readonly history: History;
  readonly durations: Durations = new Durations();
  readonly blocks: Blocks;
  readonly notices: Notices;
  readonly #log: Log;
  readonly #logArguments: boolean;
  readonly #onError: ResolvedOptions['onError'];

  constructor(options: ResolvedOptions) {
    this.#log = createLog(options.logger);
    this.#logArguments = options.logArguments;
    this.#onError = options.onError;
    this.history = new History(options.history);
    this.events = new Events((event, thrown) => this.hookThrew(hookError(`the listener of '${event}'`, thrown)));
    this.blocks = new Blocks(this.#log, this.events);
    this.notices = new Notices(this.#log);
  }

  added(run: Reported): void {
    this.events.emit('added', run, toAddedEvent);
  }

  started(run: Reported): void {
    this.events.emit('started', run, toStartedEvent);
  }

  retrying(run: Reported, error: Error, delayMs: number): void {
    this.#tell(run.facts, () =>
      this.#log.write(
        'warn',
        `Task ${run.facts.name} failed, and is tried again in ${delayMs} ms: ${messageOf(error)}`,
        {
          ...this.#fields(run),
          delayMs,
          error: errorFields(error),
        },
      ),
    );
    this.events.emit('retrying', run, ({ facts, attemptNumber }) => ({
      ...facts,
      attempt: attemptNumber,
      error,
      delayMs,
    }));
  }

  settled(run: Reported, outcome: Outcome): void {
    if (run.isKeptInHistory) this.history.keep(run.number, outcome);
    this.durations.record(outcome);
    const { level } = ENDINGS[outcome.state];
    if (this.#log.hears(level)) this.#logEnd(outcome, () => this.#fields(run));
    if (outcome.error !== undefined && level === 'error') this.#callOnError(outcome);
    this.events.emit('settled', outcome, asItIs);
  }

  /** A task from an engine that will never be run: it has no run here, so it is neither counted nor an event. */
  failedWithoutRun(outcome: UnsuccessfulOutcome): void {
    const { id, executor, attempts, waitedMs, ranMs } = outcome;
    // Others may have written it: a line shows nothing uncut.
    const name = describeName(outcome.name);
    this.#logEnd({ ...outcome, name }, () => ({
      task: name,
      id,
      executor,
      attempt: attempts + 1,
      waitedMs: Math.round(waitedMs),
      ranMs,
    }));
    this.#callOnError(outcome);
  }

  #logEnd(outcome: Outcome, fieldsOf: () => Record<string, unknown>): void {
    const { level, line } = ENDINGS[outcome.state];
    this.#tell(outcome, () => this.#log.write(level, line(outcome), { ...fieldsOf(), ...errorOf(outcome) }));
  }

  /** Worth a line, but changes no outcome: a result that could not cross, for instance. */
  warned(task: NamedTask, error: Error): void {
    const { id, name } = task;
    this.#tell(task, () =>
      this.#log.write('warn', `Task ${name}: ${error.message}`, { task: name, id, error: errorFields(error) }),
    );
  }

  /** A function of the user's that the package called threw: the task's fate is decided without it. */
  hookThrew(error: Error): void {
    this.#log.write('error', error.message, { error: errorFields(error) });
  }

  /** What a task has thrown may throw itself where it is read again: by a getter, or as a proxy. */
  #tell({ name }: NamedTask, write: () => void): void {
    notify(write, (thrown) => this.hookThrew(hookError(`the error of task ${name}`, thrown)));
  }

  #callOnError(outcome: UnsuccessfulOutcome): void {
    const onError = this.#onError;
    if (onError === undefined) return;
    notify(
      () => onError(outcome.error, outcome),
      (thrown) => this.hookThrew(hookError('`onError`', thrown)),
    );
  }

  #fields(run: Reported): Record<string, unknown> {
    return {
      task: run.facts.name,
      id: run.facts.id,
      executor: run.facts.executor,
      attempt: run.attemptNumber,
      waitedMs: Math.round(run.waitedMs),
      ranMs: Math.round(run.ranMs),
      ...(this.#logArguments ? { arguments: run.args.map(describe) } : {}),
    };
  }
}
