/** Log lines that are about no task's outcome: the engine, the registry, errors that nobody waits for, the end. */
import type { CloseReport } from './close-report.ts';
import { errorFields } from './error-fields.ts';
import { BackgroundTaskError, codeOf } from './errors.ts';
import type { Log } from './log.ts';
import { messageOf } from './message-of.ts';
import type { NamedTask } from './task.ts';

export class Notices {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A durable task that no engine keeps: fine while developing, and not what its author meant elsewhere. */
  withoutEngine(task: string): void {
    this.#log.write(
      'warn',
      `Task ${task} is durable, but backgroundTasks() has no \`engine\`: durable tasks run in this process, and are lost when it ends`,
      { task },
    );
  }

  /** A worker takes no task before it has loaded all that it may have to run. */
  moduleIsSlow({ name, module }: { readonly name: string; readonly module: string }, afterMs: number): void {
    this.#log.write(
      'warn',
      `The module registered as ${name} has not loaded after ${afterMs} ms; no task is taken until it has: ${module}`,
      { module },
    );
  }

  /** Something that an operator should change where durable tasks are kept. */
  engineWarned(engine: string, message: string): void {
    this.#log.write('warn', `The engine ${engine}: ${message}`, { engine });
  }

  /** An error of the engine's that belongs to no task. */
  engineFailed(engine: string, error: Error): void {
    this.#log.write('error', `The engine ${engine}: ${messageOf(error)}`, { engine, error: errorFields(error) });
  }

  /** A task that was over has thrown, where it ran. Its outcome stands, and no other task is harmed. */
  stray(task: NamedTask | undefined, cause: Error): void {
    const error = new BackgroundTaskError(
      'ERR_BACKGROUND_STRAY',
      `${strayOrigin(task?.name, cause)}: ${cause.message}`,
      { cause },
    );
    this.#log.write('error', error.message, {
      ...(task === undefined ? {} : { task: task.name, id: task.id }),
      error: errorFields(error),
    });
  }

  /** `close` begins: the operator who waits should know for what. */
  closing(pending: number, timeout: number): void {
    if (pending === 0) return;
    this.#log.write('info', `Closing: pending tasks ${pending}, time limit ${timeout} ms`, { pending, timeout });
  }

  closed({ completed, failed, ...report }: CloseReport): void {
    const abandoned = report.abandoned.length;
    if (completed + failed + abandoned === 0) return;
    this.#log.write('info', `Closed: tasks completed ${completed}, failed ${failed}, abandoned ${abandoned}`, {
      completed,
      failed,
      abandoned,
    });
  }
}

/** The ends of workers. */
const EXITS: ReadonlySet<unknown> = new Set([
  'ERR_BACKGROUND_THREAD_EXITED',
  'ERR_BACKGROUND_PROCESS_EXITED',
  'ERR_BACKGROUND_OUT_OF_MEMORY',
]);

function strayOrigin(taskName: string | undefined, cause: Error): string {
  if (taskName !== undefined) return `Task ${taskName}, which had ended, threw`;
  return EXITS.has(codeOf(cause)) ? 'Between two tasks' : 'Code outside all tasks threw';
}
