/** The outcome's way out: log line, event, history, statistics, the user's hook. Nothing in here lets a throw pass. */
import { BackgroundTaskError } from './errors.ts';
import { Events } from './events.ts';
import { History } from './history.ts';
import { notify } from './hooks.ts';
import { createLog, errorFields, type Level, type Log } from './log.ts';
import {
  describe,
  type ExecutorName,
  type Outcome,
  type OutcomeState,
  toError,
  type UnsuccessfulOutcome,
} from './outcome.ts';
import type { ResolvedOptions } from './resolve-options.ts';
import { Durations } from './statistics.ts';

/** What can be said of a task at any moment. */
export interface Reported {
  readonly facts: { readonly id: string; readonly name: string; readonly executor: ExecutorName };
  readonly args: readonly unknown[];
  readonly priority: number;
  readonly attempts: number;
  readonly waitedMs: number;
  readonly ranMs: number;
}

/** How loud each end is, and what the line says between the task's name and its error. */
const ENDINGS: Readonly<Record<OutcomeState, { readonly level: Level; readonly verb: string }>> = {
  completed: { level: 'debug', verb: 'completed' },
  skipped: { level: 'debug', verb: 'was skipped' },
  cancelled: { level: 'info', verb: 'was cancelled' },
  failed: { level: 'error', verb: 'failed' },
  'timed-out': { level: 'error', verb: 'timed out' },
  abandoned: { level: 'error', verb: 'was abandoned' },
};

export class Reporter {
  readonly events: Events;
  readonly history: History;
  readonly durations: Durations = new Durations();
  readonly #log: Log;
  readonly #logArguments: boolean;
  readonly #onError: ResolvedOptions['onError'];

  constructor(options: ResolvedOptions) {
    this.#log = createLog(options.logger);
    this.#logArguments = options.logArguments;
    this.#onError = options.onError;
    this.history = new History(options.history);
    this.events = new Events((event, thrown) => this.hookThrew(`the listener of '${event}'`, thrown));
  }

  added(run: Reported): void {
    this.events.emit('added', () => ({ ...run.facts, priority: run.priority }));
  }

  started(run: Reported): void {
    this.events.emit('started', () => ({ ...run.facts, attempt: run.attempts, waitedMs: run.waitedMs }));
  }

  retrying(run: Reported, error: Error, delayMs: number): void {
    this.#log.write('warn', `Task ${run.facts.name} failed, and is tried again in ${delayMs} ms: ${error.message}`, {
      ...this.#fields(run),
      delayMs,
      error: errorFields(error),
    });
    this.events.emit('retrying', () => ({ ...run.facts, attempt: run.attempts, error, delayMs }));
  }

  settled(run: Reported, outcome: Outcome): void {
    this.history.keep(outcome);
    this.durations.record(outcome);
    const { level, verb } = ENDINGS[outcome.state];
    if (this.#log.hears(level)) this.#tell(run, outcome, level, verb);
    if (outcome.error !== undefined && level === 'error') this.#callOnError(outcome);
    this.events.emit('settled', () => outcome);
  }

  /** What is worth a line but decides nothing, such as a result that could not cross. */
  warned(task: { readonly id: string; readonly name: string }, error: Error): void {
    this.#log.write('warn', `Task ${task.name}: ${error.message}`, {
      task: task.name,
      id: task.id,
      error: errorFields(error),
    });
  }

  /** A task that was over threw in its thread. Its outcome stands, and no other task is harmed. */
  stray(task: { readonly id: string; readonly name: string } | undefined, cause: Error): void {
    const who = task === undefined ? 'A task that was over' : `Task ${task.name}, which was over,`;
    const error = new BackgroundTaskError('ERR_BACKGROUND_STRAY', `${who} threw in its thread: ${cause.message}`, {
      cause,
    });
    this.#log.write('error', error.message, {
      ...(task === undefined ? {} : { task: task.name, id: task.id }),
      error: errorFields(error),
    });
  }

  /** A function of the user's that the package called threw: the task's fate is decided without it. */
  hookThrew(hook: string, thrown: unknown): void {
    const cause = toError(thrown);
    const error = new BackgroundTaskError('ERR_BACKGROUND_HOOK', `Expected ${hook} not to throw: ${cause.message}`, {
      cause,
    });
    this.#log.write('error', error.message, { error: errorFields(error) });
  }

  #tell(run: Reported, { name, error }: Outcome, level: Level, verb: string): void {
    const because = error === undefined ? '' : `: ${error.message}`;
    const fields = this.#fields(run);
    this.#log.write(level, `Task ${name} ${verb}${because}`, error ? { ...fields, error: errorFields(error) } : fields);
  }

  #callOnError(outcome: UnsuccessfulOutcome): void {
    const onError = this.#onError;
    if (onError === undefined) return;
    notify(
      () => onError(outcome.error, outcome),
      (thrown) => this.hookThrew('`onError`', thrown),
    );
  }

  #fields(run: Reported): Record<string, unknown> {
    return {
      task: run.facts.name,
      id: run.facts.id,
      attempt: run.attempts,
      waitedMs: Math.round(run.waitedMs),
      ranMs: Math.round(run.ranMs),
      ...(this.#logArguments ? { arguments: run.args.map(describe) } : {}),
    };
  }
}
