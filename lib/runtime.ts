/** What every run of an instance shares. */
import type { Backlog } from './backlog.ts';
import type { ExecutorName } from './executor-names.ts';
import type { Executor } from './executors/executor.ts';
import type { Nesting } from './nesting.ts';
import type { Reporter } from './reporter.ts';
import type { Deadlines } from './time/deadlines.ts';

export interface Runtime {
  readonly executors: Readonly<Record<ExecutorName, Executor>>;
  readonly backlog: Backlog;
  readonly reporter: Reporter;
  readonly deadlines: Deadlines;
  /** Who hears of an end may cancel or add another task, and who hears of the end of that the next. */
  readonly endings: Nesting;
  /** Begins every id. */
  readonly idPrefix: string;
}
