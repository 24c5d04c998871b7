/** The options of `backgroundTasks`, as an instance runs by them. */
import { IncomingMessage } from '../builtins.ts';
import type { TaskEngine } from '../durable/engine.ts';
import { optionError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { check } from './check.ts';
import { type ResolvedDurableOptions, type ResolvedWorkOptions, resolveDurable, resolveWork } from './durable.ts';
import { type BackgroundTasksOptions, type Mode, middlewareRules, type Order } from './middleware.ts';
import { DEFAULT_POLICY, mergePolicy, type Policy } from './policy.ts';
import { type ResolvedProcessOptions, resolveProcesses } from './process-pool.ts';
import { type ResolvedPoolOptions, resolvePool } from './thread-pool.ts';
import { type ResolvedWatchdogOptions, resolveWatchdog } from './watchdog.ts';

const PLACE = 'backgroundTasks()';
const DEFAULT_MAX_BACKLOG = 10_000;
const DEFAULT_HISTORY = 1_000;

/** Checked, complete and frozen. */
export interface ResolvedOptions {
  readonly pool: ResolvedPoolOptions;
  readonly processes: ResolvedProcessOptions;
  readonly order: Order;
  readonly policy: Policy;
  readonly maxBacklog: number;
  readonly history: number;
  readonly logger: Logger | false | undefined;
  readonly logArguments: boolean;
  readonly onError: BackgroundTasksOptions['onError'];
  readonly ambient: boolean;
  readonly context: BackgroundTasksOptions['context'];
  /** `undefined` where the watchdog is off. */
  readonly watchdog: ResolvedWatchdogOptions | undefined;
  readonly engine: TaskEngine | undefined;
  readonly durable: ResolvedDurableOptions;
  /** `undefined` where this process only adds. */
  readonly work: ResolvedWorkOptions | undefined;
  readonly mode: Mode;
}

/** Checks the options of `backgroundTasks` and fills in what they leave out. */
export function resolveOptions(options: BackgroundTasksOptions = {}): ResolvedOptions {
  checkNoRequest(options);
  const given = check(options, middlewareRules, PLACE);
  const pool = resolvePool(given.pool ?? {}, PLACE);
  return Object.freeze({
    pool,
    processes: resolveProcesses(given.processes ?? {}, PLACE),
    order: given.order ?? 'sequential',
    policy: mergePolicy(DEFAULT_POLICY, given),
    maxBacklog: given.maxBacklog ?? DEFAULT_MAX_BACKLOG,
    history: given.history ?? DEFAULT_HISTORY,
    logger: given.logger,
    logArguments: given.logArguments ?? false,
    onError: given.onError,
    ambient: given.ambient ?? false,
    context: given.context,
    watchdog: given.mode === undefined || given.mode === 'run' ? resolveWatchdog(given.watchdog) : undefined,
    engine: given.engine,
    durable: resolveDurable(given),
    work: resolveWork(given.work, given.engine !== undefined, pool.maxThreads),
    mode: given.mode ?? 'run',
  });
}

/** `app.use(backgroundTasks)` compiles, and would fail at each request by the name of one of its fields. */
function checkNoRequest(options: unknown): void {
  if (!(options instanceof IncomingMessage)) return;
  throw optionError(
    `Expected ${PLACE} to be called where it is mounted, got a request as its options: write app.use(backgroundTasks()).`,
  );
}
