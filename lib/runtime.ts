/** What every run of an instance shares. */
import type { Backlog } from './backlog.ts';
import type { ExecutorName } from './executor-names.ts';
import type { Executor } from './executors/executor.ts';
import type { Reporter } from './reporter.ts';
import type { Deadlines } from './time/deadlines.ts';

export interface Runtime {
  readonly executors: Readonly<Record<ExecutorName, Executor>>;
  readonly backlog: Backlog;
  readonly reporter: Reporter;
  readonly deadlines: Deadlines;
  /** Begins every id. */
  readonly idPrefix: string;
}
