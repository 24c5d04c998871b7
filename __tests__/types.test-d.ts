/** What the compiler accepts and refuses. Nothing here runs: types.test.ts has it compiled. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, createSecureServer as createSecureHttp2Server } from 'node:http2';
import connect from 'connect';
import { expectTypeOf } from 'expect-type';
import express, { type Request, type Response, Router } from 'express';
import {
  type AbandonedOutcome,
  addBackgroundTask,
  type BackgroundTaskError,
  type BackgroundTaskErrorCode,
  type BackgroundTaskEvents,
  type BackgroundTasks,
  type BackgroundTasksOptions,
  type BlockedEvent,
  type BlockingModule,
  type BlockingTask,
  backgroundTasks,
  blocking,
  type CloseReport,
  type CompletedOutcome,
  type CurrentTask,
  currentTask,
  type DurableTask,
  defineTask,
  durable,
  type EventListener,
  type EventName,
  type ExecutorName,
  type FoundTask,
  type Logger,
  move,
  type Outcome,
  type OutcomeState,
  type ResponseEnd,
  type StartedEvent,
  type Task,
  type TaskAdder,
  type TaskEngine,
  type TaskHandle,
  type TaskList,
  type TaskState,
  type TaskWorker,
  type UnsuccessfulOutcome,
} from 'express-background-tasks';
import { type TaskMatchers, taskMatchers, watchTasks } from 'express-background-tasks/testing';
import pino from 'pino';
import winston from 'winston';

const images = blocking<typeof import('./fixtures/typed-tasks.ts')>(
  new URL('./fixtures/typed-tasks.ts', import.meta.url),
);

async function sendEmail(address: string, subject: string): Promise<number> {
  return address.length + subject.length;
}

export function argumentsOfPlainFunctionsAreChecked(tasks: TaskList): void {
  const count = (text: string): number => text.length;
  expectTypeOf(tasks.add(count, 'text')).toEqualTypeOf<TaskHandle<number>>();
  expectTypeOf(tasks.add(() => {})).toEqualTypeOf<TaskHandle<void>>();
  // @ts-expect-error: a number is no text.
  tasks.add(count, 1);
  // @ts-expect-error: an argument is missing.
  tasks.add(count);
  // @ts-expect-error: there is one argument too many.
  tasks.add(count, 'text', 'more');
  // @ts-expect-error: a function without parameters takes no argument.
  tasks.add(() => 1, 'text');
}

export function argumentsOfAsyncFunctionsAreChecked(tasks: TaskList): void {
  expectTypeOf(tasks.add(sendEmail, 'ada@example.com', 'Welcome')).toEqualTypeOf<TaskHandle<number>>();
  // @ts-expect-error: the subject is missing.
  tasks.add(sendEmail, 'ada@example.com');
  // @ts-expect-error: the order is wrong.
  tasks.add(sendEmail, 1, 'Welcome');
  // @ts-expect-error: the function was called already.
  tasks.add(sendEmail('ada@example.com', 'Welcome'));
  // @ts-expect-error: the name of a function is none.
  tasks.add('sendEmail', 'ada@example.com', 'Welcome');
  // @ts-expect-error: there may be no function at all.
  tasks.add(undefined as typeof sendEmail | undefined, 'ada@example.com', 'Welcome');
}

export function tasksAreCalledWithoutThis(tasks: TaskList): void {
  function double(this: { factor: number }, value: number): number {
    return this.factor * value;
  }
  // @ts-expect-error: it would find no factor.
  tasks.add(double, 1);
  // @ts-expect-error: nor does it by another name.
  defineTask(double, { name: 'double' });
  tasks.add(double.bind({ factor: 2 }), 1);
  tasks.add(function (this: void, value: number) {
    return value;
  }, 1);
}

export function argumentsMayBeOptionalAndRest(tasks: TaskList): void {
  const greet = (name: string, greeting?: string): string => `${greeting} ${name}`;
  tasks.add(greet, 'Ada');
  tasks.add(greet, 'Ada', 'Hello');
  tasks.add(greet, 'Ada', undefined);
  // @ts-expect-error: an optional parameter has a type, too.
  tasks.add(greet, 'Ada', 1);
  // @ts-expect-error: an optional parameter is one parameter.
  tasks.add(greet, 'Ada', 'Hello', 'again');

  const join = (separator: string, ...parts: number[]): string => parts.join(separator);
  tasks.add(join, ',');
  tasks.add(join, ',', 1, 2, 3);
  // @ts-expect-error: every rest argument has a type.
  tasks.add(join, ',', 1, '2');
  // @ts-expect-error: what comes before the rest is required.
  tasks.add(join);
}

export function argumentsMayBeGenericUnionsAndReadonly(tasks: TaskList): void {
  const first = <T>(list: readonly T[]): T | undefined => list[0];
  tasks.add(first, [1, 2]);
  const show = (value: string | number | null): void => void value;
  tasks.add(show, 'text');
  tasks.add(show, 1 as string | number);
  tasks.add(show, null);
  // @ts-expect-error: a boolean is none of them.
  tasks.add(show, true);
  const total = (numbers: readonly number[]): number => numbers.length;
  tasks.add(total, [1, 2] as const);
}

export function tasksOfDifferentResultsMayShareAVariable(tasks: TaskList): void {
  const all: Task<[name: string]>[] = [(name: string) => name.length, async (name: string) => name];
  for (const task of all) expectTypeOf(tasks.add(task, 'Ada')).toEqualTypeOf<TaskHandle>();
  // @ts-expect-error: a number is no text.
  for (const task of all) tasks.add(task, 1);

  function send(mail: { to: string }): Promise<number>;
  function send(mail: { to: string }, callback: () => void): void;
  function send(): unknown {
    return undefined;
  }
  expectTypeOf(tasks.add((mail) => send(mail), { to: 'Ada' })).toEqualTypeOf<TaskHandle<number>>();
}

export function definedTasksStayWhatTheyWere(tasks: TaskList): void {
  const invoice = defineTask(async (id: number, note?: string) => `${id} ${note}`, { name: 'invoice' });
  expectTypeOf(invoice).toEqualTypeOf<(id: number, note?: string) => Promise<string>>();
  expectTypeOf(tasks.add(invoice, 1)).toEqualTypeOf<TaskHandle<string>>();
  tasks.add(invoice, 1, 'note');
  // @ts-expect-error: an id is a number.
  tasks.add(invoice, '1');
  // @ts-expect-error: defineTask takes a function.
  defineTask('invoice', {});
  // @ts-expect-error: a reference to another module's export is no function.
  defineTask(images.thumbnail, {});
}

export function argumentsOfBlockingTasksAreChecked(tasks: TaskList): void {
  expectTypeOf(images.thumbnail).toEqualTypeOf<BlockingTask<[path: string, width: number], Promise<string>>>();
  expectTypeOf(tasks.add(images.thumbnail, 'photo.png', 200)).toEqualTypeOf<TaskHandle<string>>();
  expectTypeOf(tasks.add(images.average, [1, 2])).toEqualTypeOf<TaskHandle<number>>();
  tasks.add(images.sum);
  tasks.add(images.sum, 1, 2, 3);
  // @ts-expect-error: the width is missing.
  tasks.add(images.thumbnail, 'photo.png');
  // @ts-expect-error: a width is a number.
  tasks.add(images.thumbnail, 'photo.png', '200');
  // @ts-expect-error: there is one argument too many.
  tasks.add(images.thumbnail, 'photo.png', 200, true);
  // @ts-expect-error: every rest argument has a type.
  tasks.add(images.sum, 1, '2');
  // @ts-expect-error: a reference cannot be called.
  images.thumbnail('photo.png', 200);
}

export function bufferArgumentsMayBeMoved(tasks: TaskList, buffer: Buffer, bytes: Uint8Array): void {
  expectTypeOf(move(buffer)).toEqualTypeOf<Buffer>();
  tasks.add(images.resize, move(bytes), 200);
  tasks.add(images.resize, move(buffer), 200, 'png');
  // @ts-expect-error: a text cannot be moved.
  move('text');
  // @ts-expect-error: moved or not, an argument has its type.
  tasks.add(images.thumbnail, move(bytes), 200);
}

export function exportsThatAreNoFunctionsAreNoTasks(tasks: TaskList): void {
  expectTypeOf<keyof typeof images>().toEqualTypeOf<'thumbnail' | 'resize' | 'sum' | 'average'>();
  // @ts-expect-error: a constant is no task.
  tasks.add(images.DEFAULT_WIDTH);
  // @ts-expect-error: nor is an array.
  tasks.add(images.formats);
  // @ts-expect-error: nor is a class.
  tasks.add(images.ImageCache);
  // @ts-expect-error: nor is what the module does not export.
  tasks.add(images.thumbnial, 'photo.png', 200);
  // @ts-expect-error: references cannot be written.
  images.sum = {} as typeof images.sum;
}

/** As JSDoc's `@type` in JavaScript that is checked: there a call has no type parameters. */
export function referencesMayBeTypedByWhatTheyAreAssignedTo(tasks: TaskList, url: URL): void {
  type Images = BlockingModule<typeof import('./fixtures/typed-tasks.ts')>;
  const inThreads: Images = blocking(url);
  const kept: Images = durable('images', url, {
    parse: { thumbnail: ([path, width]) => [String(path), Number(width)] },
  });
  tasks.add(inThreads.thumbnail, 'photo.png', 200);
  tasks.add(kept.thumbnail, 'photo.png', 200);
  // @ts-expect-error: a width is a number.
  tasks.add(kept.thumbnail, 'photo.png', '200');
  // @ts-expect-error: what `parse` names says nothing of what the module exports.
  durable('images', url, { parse: { thumbnail: () => [] } }).thumbnail;
  // @ts-expect-error: arguments are parsed to what the function takes.
  const wrong: Images = durable('images', url, { parse: { thumbnail: () => ['photo.png'] } });
  tasks.add(wrong.sum);
}

export function aWorkerIsWhatItsListenersAreAddedTo(worker: TaskWorker): void {
  const listener = ({ attempt }: StartedEvent): number => attempt;
  expectTypeOf(worker.on('started', listener)).toEqualTypeOf<TaskWorker>();
  expectTypeOf(worker.off('started', listener)).toEqualTypeOf<TaskWorker>();
  // @ts-expect-error: a worker adds no tasks.
  worker.on('started', listener).add(() => {});
  // @ts-expect-error: no such event.
  worker.on('done', () => {});
}

export async function outcomesAreNarrowedByTheirState(tasks: TaskList): Promise<void> {
  const handle = tasks.add(sendEmail, 'ada@example.com', 'Welcome');
  expectTypeOf(handle.state).toEqualTypeOf<TaskState>();
  expectTypeOf<TaskState>().toEqualTypeOf<OutcomeState | 'waiting' | 'running' | 'retrying'>();
  const outcome = await handle.settled;
  expectTypeOf(outcome).toEqualTypeOf<Outcome<number>>();
  expectTypeOf(outcome.state).toEqualTypeOf<OutcomeState>();
  expectTypeOf(outcome.value).toEqualTypeOf<number | undefined>();
  expectTypeOf(outcome.error).toEqualTypeOf<Error | undefined>();
  expectTypeOf(outcome.executor).toEqualTypeOf<ExecutorName>();
  expectTypeOf(outcome.response).toEqualTypeOf<ResponseEnd | undefined>();
  switch (outcome.state) {
    case 'completed':
      expectTypeOf(outcome).toEqualTypeOf<CompletedOutcome<number>>();
      break;
    case 'failed':
    case 'timed-out':
    case 'cancelled':
    case 'abandoned':
      expectTypeOf(outcome.error).toEqualTypeOf<Error>();
      break;
    case 'skipped':
      expectTypeOf(outcome.error).toEqualTypeOf<undefined>();
      break;
    default:
      // The union is closed.
      expectTypeOf(outcome).toBeNever();
  }
  // @ts-expect-error: an outcome does not change.
  outcome.attempts = 2;
}

export function handlesTellWhereTheTaskIs(handle: TaskHandle<number>): void {
  expectTypeOf(handle.id).toEqualTypeOf<string>();
  expectTypeOf(handle.state).toEqualTypeOf<'waiting' | 'running' | 'retrying' | OutcomeState>();
  expectTypeOf(handle.cancel()).toEqualTypeOf<boolean>();
  handle.cancel('not wanted any more');
  // A list keeps handles of all kinds of values.
  const handles: TaskHandle[] = [handle];
  expectTypeOf(handles[0]?.settled).toEqualTypeOf<Promise<Outcome> | undefined>();
}

export function listsCanBeCountedAndIterated(tasks: TaskList): void {
  expectTypeOf(tasks.size).toEqualTypeOf<number>();
  for (const handle of tasks) expectTypeOf(handle).toEqualTypeOf<TaskHandle>();
  // @ts-expect-error: the list counts for itself.
  tasks.size = 0;
}

export function withTakesTheOptionsOfATask(tasks: TaskList, background: BackgroundTasks): void {
  const adder = tasks.with({ name: 'mail', when: 'success', timeout: 1_000, retry: { attempts: 3 }, priority: 5 });
  expectTypeOf(adder).toEqualTypeOf<TaskAdder>();
  expectTypeOf(adder.add(sendEmail, 'ada@example.com', 'Welcome')).toEqualTypeOf<TaskHandle<number>>();
  expectTypeOf(background.with({ timeout: Number.POSITIVE_INFINITY })).toEqualTypeOf<TaskAdder>();
  tasks.with({ when: ({ ended, statusCode, res }) => ended === 'sent' && statusCode < 500 && res.headersSent });
  tasks.with({ retry: { retryIf: (error) => error.code === 'ETIMEDOUT' } });
  // @ts-expect-error: arguments are checked behind `with` as well.
  adder.add(sendEmail, 'ada@example.com');
  // @ts-expect-error: no such option.
  tasks.with({ retries: 3 });
  // @ts-expect-error: no such end of a response.
  tasks.with({ when: 'sent' });
  // @ts-expect-error: what belongs to the middleware is not a task's.
  tasks.with({ maxBacklog: 1 });
  // @ts-expect-error: a predicate answers at once.
  tasks.with({ when: async () => true });
  tasks.with({ executor: 'process' }).add(images.sum, 1, 2);
  // @ts-expect-error: what runs in the event loop is a function, and cannot run elsewhere.
  tasks.with({ executor: 'event-loop' });
}

export function tasksCanBeAddedOutsideResponses(background: BackgroundTasks): void {
  expectTypeOf(background.add(sendEmail, 'ada@example.com', 'Welcome')).toEqualTypeOf<TaskHandle<number>>();
  expectTypeOf(background.add(images.sum, 1, 2)).toEqualTypeOf<TaskHandle<number>>();
  expectTypeOf(addBackgroundTask(images.thumbnail, 'photo.png', 200)).toEqualTypeOf<TaskHandle<string>>();
  // @ts-expect-error: the subject is missing.
  background.add(sendEmail, 'ada@example.com');
  // @ts-expect-error: the width is missing.
  addBackgroundTask(images.thumbnail, 'photo.png');
}

export function currentTaskKnowsItsContext(): void {
  expectTypeOf(currentTask<{ requestId: string }>()).toEqualTypeOf<CurrentTask<{ requestId: string }> | undefined>();
  expectTypeOf(currentTask()?.context).toEqualTypeOf<unknown>();
  expectTypeOf(currentTask()?.signal).toEqualTypeOf<AbortSignal | undefined>();
  // @ts-expect-error: there may be no task.
  currentTask().attempt;
}

export function eventsAreTypedByTheirName(background: BackgroundTasks): void {
  background
    .on('added', (event) => expectTypeOf(event.priority).toEqualTypeOf<number>())
    .on('started', (event) => expectTypeOf(event.waitedMs).toEqualTypeOf<number>())
    .on('retrying', (event) => expectTypeOf(event.error).toEqualTypeOf<Error>())
    .on('settled', (event) => expectTypeOf(event).toEqualTypeOf<Outcome>())
    .off('settled', () => {});
  // @ts-expect-error: no such event.
  background.on('done', () => {});
  const listeners: { readonly [Name in EventName]?: EventListener<Name> } = {
    added: ({ id }) => id,
    settled: () => {},
  };
  if (listeners.added !== undefined) background.on('added', listeners.added);
  expectTypeOf<EventName>().toEqualTypeOf<keyof BackgroundTaskEvents>();
  background.on('blocked', (event) => expectTypeOf(event).toEqualTypeOf<BlockedEvent>());
  // @ts-expect-error: a task that was just added has no delay.
  background.on('added', ({ delayMs }) => delayMs);
}

/** A linter refuses an async function where nobody looks at what is returned (no-misused-promises). */
export function hooksWhoseRejectionsAreLoggedReturnWhatTheyLike(): void {
  type OnError = NonNullable<BackgroundTasksOptions['onError']>;
  expectTypeOf<ReturnType<OnError>>().toEqualTypeOf<unknown>();
  expectTypeOf<ReturnType<EventListener<EventName>>>().toEqualTypeOf<unknown>();
  expectTypeOf<(error: Error) => Promise<void>>().toExtend<OnError>();
  expectTypeOf<(error: Error) => void>().toExtend<OnError>();
  expectTypeOf<(error: Error, outcome: Outcome) => void>().toExtend<OnError>();
}

export function optionsAreCheckedByName(): void {
  backgroundTasks();
  backgroundTasks({});
  backgroundTasks({
    pool: { minThreads: 1, maxThreads: 4, idleTimeout: 1_000, niceIncrement: 5, execArgv: ['--import', 'tsx'] },
    processes: {
      minProcesses: 1,
      maxProcesses: 4,
      idleTimeout: 1_000,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16 },
      niceIncrement: 5,
      execArgv: ['--import', 'tsx'],
      env: { PATH: undefined },
      argv: ['--verbose'],
    },
    order: 'parallel',
    when: 'failure',
    timeout: 5_000,
    retry: { attempts: 3, delay: 100, factor: 2, maxDelay: 1_000, jitter: 0.5, retryIf: () => true },
    maxBacklog: 100,
    history: 0,
    logger: false,
    logArguments: true,
    onError: (error, outcome) => expectTypeOf([error, outcome]).toEqualTypeOf<(Error | UnsuccessfulOutcome)[]>(),
    ambient: true,
    context: (req: Request) => ({ path: req.path }),
    mode: 'inline',
  });
  // Not passing an option and passing undefined is the same, under exactOptionalPropertyTypes as well.
  backgroundTasks({ order: undefined, pool: undefined, processes: undefined, retry: { attempts: undefined } });
  // @ts-expect-error: no such option.
  backgroundTasks({ maxBacklogs: 1 });
  // @ts-expect-error: no such option of the pool.
  backgroundTasks({ pool: { threads: 1 } });
  // @ts-expect-error: processes are counted by names of their own.
  backgroundTasks({ processes: { maxThreads: 1 } });
  // @ts-expect-error: Node has no option for this limit of a process.
  backgroundTasks({ processes: { resourceLimits: { stackSizeMb: 1 } } });
  // @ts-expect-error: Piscina has this option, but it would break what is promised.
  backgroundTasks({ pool: { maxQueue: 1 } });
  // @ts-expect-error: no such option of retry.
  backgroundTasks({ retry: { times: 3 } });
  // @ts-expect-error: no such order.
  backgroundTasks({ order: 'random' });
  // @ts-expect-error: milliseconds are a number.
  backgroundTasks({ timeout: '5s' });
  // @ts-expect-error: a logger has four methods.
  backgroundTasks({ logger: { error() {} } });
  backgroundTasks({ watchdog: true });
  backgroundTasks({ watchdog: { threshold: 50, stacks: false } });
  // @ts-expect-error: a threshold is a number.
  backgroundTasks({ watchdog: { threshold: '50 ms' } });
  // @ts-expect-error: `true` is no logger.
  backgroundTasks({ logger: true });
  // @ts-expect-error: options do not change once they are written.
  (({}) as BackgroundTasksOptions).timeout = 1;
}

export function whatDoesNotExistYetHasNoType(url: URL): void {
  blocking<typeof import('./fixtures/typed-tasks.ts')>(url, { executor: 'thread', name: 'image', priority: 1 });
  blocking<typeof import('./fixtures/typed-tasks.ts')>(url, { executor: 'process' });
  // @ts-expect-error: there is no such executor.
  blocking(url, { executor: 'fiber' });
  // @ts-expect-error: no engine.
  backgroundTasks({ engine: {} });
  expectTypeOf<ExecutorName>().toEqualTypeOf<'event-loop' | 'thread' | 'process' | 'engine'>();
}

export async function findIsAwaitedWhereThereMayBeAnEngine(
  engine: TaskEngine,
  options: BackgroundTasksOptions,
): Promise<void> {
  type FoundAnywhere = Promise<FoundTask | DurableTask>;
  expectTypeOf(backgroundTasks().find('1')).toEqualTypeOf<FoundTask>();
  expectTypeOf(backgroundTasks({ order: 'parallel' }).find('1')).toEqualTypeOf<FoundTask>();
  expectTypeOf(backgroundTasks({ engine }).find('1')).toEqualTypeOf<FoundAnywhere>();
  // Options that are handed on: most applications have no engine.
  expectTypeOf(backgroundTasks({ logger: false, ...options }).find('1')).toEqualTypeOf<FoundTask>();

  const background = backgroundTasks({ engine: process.env['REDIS_URL'] ? engine : undefined });
  expectTypeOf(background.find('1')).toEqualTypeOf<FoundTask | FoundAnywhere>();
  expectTypeOf(await background.find('1')).toEqualTypeOf<FoundTask | DurableTask>();
  if ('ready' in background) await background.ready();
  // The rest is the same, with an engine or without.
  express().use(background);
  background.add((text: string) => text.length, 'text').settled satisfies Promise<Outcome<number>>;
  background.on('settled', ({ name }) => name.length);
  await background.close();
}

export function commonLoggersFit(): void {
  expectTypeOf(winston.createLogger()).toExtend<Logger>();
  expectTypeOf(winston).toExtend<Logger>();
  expectTypeOf(console).toExtend<Logger>();
  expectTypeOf(pino()).toExtend<Logger>();
  backgroundTasks({ logger: winston.createLogger() });
  backgroundTasks({ logger: console });
  backgroundTasks({ logger: pino().child({ part: 'tasks' }) });
  expectTypeOf<Pick<Console, 'error' | 'warn'>>().not.toExtend<Logger>();
}

export function everyFrameworkTakesTheMiddleware(background: BackgroundTasks): void {
  const app = express();
  app.use(background);
  app.use('/api', background);
  app.get('/', background, (_req, res) => {
    expectTypeOf(res.locals.backgroundTasks).toEqualTypeOf<TaskList>();
    res.locals.backgroundTasks.add(sendEmail, 'ada@example.com', 'Welcome');
    // @ts-expect-error: the subject is missing.
    res.locals.backgroundTasks.add(sendEmail, 'ada@example.com');
  });
  Router().use(background);
  connect().use(background);
  connect().use('/api', background);
  createServer((req, res) => background(req, res, () => res.end()));
  createHttp2Server((req, res) => background(req, res, () => res.end()));
  createSecureHttp2Server({ allowHTTP1: true }, (req, res) => background(req, res, () => res.end()));
  expectTypeOf(background).toBeCallableWith({} as IncomingMessage, {} as ServerResponse, () => {});
  // What next() may be given differs: the first is h3's and Nitro's, the second polka's.
  expectTypeOf(background).toExtend<
    (req: IncomingMessage, res: ServerResponse, next: (error?: Error) => void) => void
  >();
  expectTypeOf(background).toExtend<
    (req: IncomingMessage, res: ServerResponse, next: (error?: string | Error) => void) => unknown
  >();
}

export function localsAreTypedInHelpersAsWell(res: Response): void {
  expectTypeOf(res.locals.backgroundTasks).toEqualTypeOf<TaskList>();
  expectTypeOf<Express.Locals['backgroundTasks']>().toEqualTypeOf<TaskList>();
}

export async function closeReportsWhatBecameOfTheRest(background: BackgroundTasks): Promise<void> {
  const report = await background.close({ timeout: 10_000 });
  expectTypeOf(report).toEqualTypeOf<CloseReport>();
  expectTypeOf(report.completed).toEqualTypeOf<number>();
  expectTypeOf(report.failed).toEqualTypeOf<number>();
  expectTypeOf(report.abandoned).toEqualTypeOf<readonly AbandonedOutcome[]>();
  expectTypeOf<AbandonedOutcome>().toExtend<Outcome>();
  for (const { arguments: args } of report.abandoned) expectTypeOf(args).toEqualTypeOf<readonly string[]>();
  expectTypeOf(background.idle()).toEqualTypeOf<Promise<void>>();
  // @ts-expect-error: no such option.
  background.close({ grace: 1 });
  await using closing = background;
  expectTypeOf(closing).toEqualTypeOf<BackgroundTasks>();
}

export function tasksCanBeFoundAndCounted(background: BackgroundTasks): void {
  const found = background.find('id');
  expectTypeOf(found).toEqualTypeOf<TaskHandle | Outcome | undefined>();
  if (found !== undefined && 'settled' in found) expectTypeOf(found).toEqualTypeOf<TaskHandle>();
  const { executors, outcomes, waitedMs } = background.stats();
  expectTypeOf(executors.thread.utilization).toEqualTypeOf<number>();
  expectTypeOf(executors.process.processes).toEqualTypeOf<number>();
  expectTypeOf(outcomes['timed-out']).toEqualTypeOf<number>();
  expectTypeOf(waitedMs.p99).toEqualTypeOf<number>();
}

export function errorsAreMatchedByTheirCode(error: BackgroundTaskError): void {
  expectTypeOf(error.code).toEqualTypeOf<BackgroundTaskErrorCode>();
  expectTypeOf(error.status).toEqualTypeOf<number | undefined>();
  if (error.code === 'ERR_BACKGROUND_FULL') expectTypeOf(error.code).toEqualTypeOf<'ERR_BACKGROUND_FULL'>();
  // @ts-expect-error: no such code.
  if (error.code === 'ERR_BACKGROUND_FUL') return;
}

export async function watchersKnowTheTypesOfTasks(background: BackgroundTasks): Promise<void> {
  const tasks = watchTasks(background);
  watchTasks(background, 'record');
  expectTypeOf(tasks.of(sendEmail)[0]?.args).toEqualTypeOf<[address: string, subject: string] | undefined>();
  expectTypeOf(tasks.of(images.thumbnail)[0]?.handle).toEqualTypeOf<TaskHandle<string> | undefined>();
  expectTypeOf(await tasks.outcomesOf(images.sum)).toEqualTypeOf<readonly Outcome<number>[]>();
  expectTypeOf(taskMatchers).toHaveProperty('toHaveAdded');
  expectTypeOf<keyof TaskMatchers>().toEqualTypeOf<keyof typeof taskMatchers>();
  // @ts-expect-error: no such mode.
  watchTasks(background, 'fast');
  // @ts-expect-error: an application is no middleware of this package.
  watchTasks(express());
}
