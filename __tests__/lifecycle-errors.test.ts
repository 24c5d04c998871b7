/** The lifecycle contract, row by row: tasks that fail, whatever they throw, and hooks and loggers that fail when they are told. */
import { describe, expect, it } from '@jest/globals';
import {
  BackgroundTaskError,
  type CurrentTask,
  currentTask,
  type Logger,
  type Outcome,
  type TaskHandle,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { readableError } from './support/failures.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { SENT } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { frameworks, type Handler, start } from './support/servers.ts';
import { work } from './support/time.ts';
import { watchWarnings } from './support/warnings.ts';

expectNoProcessFaults();

describe('a class of yours that extends BackgroundTaskError', () => {
  class QuotaError extends BackgroundTaskError {}

  it('has its own instances, and no other errors of the package', () => {
    const [ours, theirs] = [
      new BackgroundTaskError('ERR_BACKGROUND_FULL', 'full'),
      new QuotaError('ERR_BACKGROUND_FULL', 'quota'),
    ];
    expect([theirs instanceof QuotaError, theirs instanceof BackgroundTaskError]).toEqual([true, true]);
    expect([ours instanceof QuotaError, ours instanceof BackgroundTaskError]).toEqual([false, true]);
    expect([new Error('x') instanceof QuotaError, (null as unknown) instanceof QuotaError]).toEqual([false, false]);
  });
});

describe('a task that throws a promise, as that of a call without await', () => {
  it.each<[string, (rejected: Promise<never>) => unknown]>([
    ['throws', (rejected) => raise(rejected)],
    ['rejects', (rejected) => Promise.reject(rejected)],
  ])('and so %s fails, and the rejection of that promise does not reach the process', async (_how, fail) => {
    const background = makeBackground();
    let rejected: Promise<never> | undefined;
    const { state, error } = await background.add(() => {
      rejected = Promise.reject(new Error('not awaited'));
      return fail(rejected);
    }).settled;
    expect(state).toBe('failed');
    expect(error).toMatchObject({ code: 'ERR_BACKGROUND_NOT_AN_ERROR' });
    expect(error?.cause).toBe(rejected);
  });
});

describe('the log line of a task whose error says nothing', () => {
  it.each<[string, Error, string]>([
    ['what the error is', new TypeError(), 'TypeError'],
    ['what the errors in it say', new AggregateError([new Error('one'), new Error('other')]), 'one, other'],
    ['what the errors in it are', new AggregateError([new TypeError(), new Error()]), 'TypeError, Error'],
    [
      'what the first ten of the errors in it say',
      new AggregateError(Array.from({ length: 1_000 }, (_, index) => new Error(`no. ${index}`))),
      'no. 0, no. 1, no. 2, no. 3, no. 4, no. 5, no. 6, no. 7, no. 8, no. 9 and 990 more',
    ],
    ['what it is, where none are in it', new AggregateError([]), 'AggregateError'],
  ])('says %s', async (_what, error, said) => {
    const log = openLogBook();
    const background = makeBackground({ logger: log.logger });
    await background.with({ name: 'mail' }).add(() => raise(error)).settled;
    expect(log.lines.map(({ message }) => message)).toEqual([`Task mail failed: ${said}`]);
  });
});

describe.each(frameworks)('under $name', (framework) => {
  describe('when one of several tasks fails', () => {
    it.each(['sequential', 'parallel'] as const)('still runs the others, in %s order', async (order) => {
      const ran: string[] = [];
      const handles: TaskHandle[] = [];
      const handler: Handler = (_req, res) => {
        const add = (task: () => unknown): number => handles.push(res.locals.backgroundTasks.add(task));
        add(() => ran.push('first'));
        add(() => {
          throw new Error('thrown');
        });
        add(() => ran.push('middle'));
        add(() => Promise.reject(new Error('rejected')));
        add(() => ran.push('last'));
        res.end();
      };
      const { background, port } = await start(framework, handler, { order });
      await request(port);
      await background.idle();
      expect(ran).toEqual(['first', 'middle', 'last']);
      expect(handles.map(({ state }) => state)).toEqual(['completed', 'failed', 'completed', 'failed', 'completed']);
    });
  });

  describe('when a task takes longer than its time limit', () => {
    it('aborts its signal and settles it as timed-out; code that ignores the signal runs on, beside the next task', async () => {
      const heard = makeGate<unknown>();
      const goOn = makeGate();
      const ranOn = makeGate();
      const handles: TaskHandle[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const list = res.locals.backgroundTasks;
        const heedless = async (): Promise<void> => {
          const { signal } = currentTask() as CurrentTask;
          signal.addEventListener('abort', () => heard.open(signal.reason));
          await goOn.opened;
          ranOn.open();
        };
        handles.push(list.with({ timeout: 20 }).add(heedless));
        handles.push(list.add(() => 'unharmed'));
        res.end('taken');
      });
      expect(await request(port)).toMatchObject({ status: 200, body: 'taken' });
      await background.idle();
      const [late, next] = await Promise.all(handles.map(({ settled }) => settled));
      expect(late).toMatchObject({ state: 'timed-out', attempts: 1, error: { code: 'ERR_BACKGROUND_TIMEOUT' } });
      expect(await heard.opened).toBe(late?.error);
      expect(next).toMatchObject({ state: 'completed', value: 'unharmed' });
      for (const outcome of [late, next]) expect(outcome).toMatchObject({ executor: 'event-loop', response: SENT });
      goOn.open();
      await ranOn.opened;
    });
  });

  describe('when a task ends badly', () => {
    const error = new TypeError('thrown');
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('do not touch');
        },
        getPrototypeOf() {
          throw new Error('do not touch');
        },
      },
    );
    const unreadable = Object.defineProperty(new Error(), 'message', { get: () => raise(new Error('do not touch')) });
    // In a test, jest fails for an uncaughtException or an unhandledRejection of the process.
    it.each<[string, () => unknown, unknown]>([
      ['a throw', () => raise(error), error],
      ['a rejection', () => Promise.reject(error), error],
      ['a rejection after some time', () => work(1).then(() => raise(error)), error],
      ['a thrown string', () => raise('a string'), 'a string'],
      ['a thrown null', () => raise(null), null],
      ['a thrown undefined', () => raise(undefined), undefined],
      ['a rejection with nothing', () => Promise.reject(), undefined],
      ['a rejection with a function', () => Promise.reject(raise), raise],
      ['a thrown proxy that throws at every touch', () => raise(hostile), hostile],
      ['an Error whose message cannot be read', () => raise(unreadable), unreadable],
      ['a thenable that rejects', () => thenable((_yes, no) => no(error)), error],
      ['a thenable that throws', () => thenable(() => raise(error)), error],
      [
        'a `then` that cannot be read',
        () =>
          Object.defineProperty({}, 'then', {
            get: () => raise(error),
          }),
        error,
      ],
    ])('%s makes an outcome and one log line', async (_what, task, thrown) => {
      const lines: unknown[][] = [];
      const told: unknown[][] = [];
      const handle = makeGate<TaskHandle>();
      const handler: Handler = (_req, res) => {
        handle.open(res.locals.backgroundTasks.with({ name: 'bad' }).add(task));
        res.end();
      };
      const { background, port } = await start(framework, handler, {
        logger: recorder(lines),
        onError: (...args) => {
          told.push(args);
        },
      });
      expect((await request(port)).status).toBe(200);
      const outcome = await (await handle.opened).settled;
      await background.idle();
      expect(outcome.state).toBe('failed');
      if (thrown === error) expect(outcome.error).toBe(error);
      else {
        expect((outcome.error as { code?: string }).code).toBe('ERR_BACKGROUND_NOT_AN_ERROR');
        expect(Object.is((outcome.error as Error).cause, thrown)).toBe(true);
      }
      expect(lines).toHaveLength(1);
      expect(lines[0]?.[0]).toBe('error');
      expect(lines[0]?.[1]).toContain('Task bad failed');
      const { name, message, stack } = outcome.error as Error;
      expect(lines[0]?.[2]).toMatchObject({
        task: 'bad',
        id: outcome.id,
        attempt: 1,
        waitedMs: Math.round(outcome.waitedMs),
        ranMs: Math.round(outcome.ranMs),
        error: { name, message, stack },
      });
      expect(told).toHaveLength(1);
      expect(told[0]?.[0] === outcome.error && told[0]?.[1] === outcome).toBe(true);
    });

    it.each(['code', 'stack', 'cause'])(
      'an Error whose %s can be read once is logged as such, and the next task runs',
      async (property) => {
        const lines: unknown[][] = [];
        const handles: TaskHandle[] = [];
        const handler: Handler = (_req, res) => {
          const list = res.locals.backgroundTasks.with({ name: 'bad', retry: { attempts: 2, delay: 0 } });
          handles.push(list.add(() => Promise.reject(readableError(property, 1))));
          handles.push(res.locals.backgroundTasks.add(() => 'unharmed'));
          res.end();
        };
        const { background, port } = await start(framework, handler, { logger: recorder(lines) });
        await request(port);
        await background.idle();
        expect(handles.map(({ state }) => state)).toEqual(['failed', 'completed']);
        expect(lines.filter(([level]) => level === 'error').map(([, message]) => message)).toContain(
          'Expected the error of task bad not to throw: read before',
        );
      },
    );

    it.each<[string, () => unknown]>([
      ['throws', () => raise(new Error('the hook is broken'))],
      ['rejects', () => Promise.reject(new Error('the hook is broken'))],
      ['throws what is no Error', () => raise(undefined)],
    ])('an onError that %s is logged, and the next task runs', async (_how, onError) => {
      const lines: unknown[][] = [];
      const handles: TaskHandle[] = [];
      const hookLogged = makeGate();
      const logger = recorder(lines, () => {
        if (lines.length === 2) hookLogged.open();
      });
      const handler: Handler = (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(() => raise(error)));
        handles.push(res.locals.backgroundTasks.add(() => 'unharmed'));
        res.end();
      };
      const { background, port } = await start(framework, handler, { logger, onError: onError as () => void });
      await request(port);
      await background.idle();
      await hookLogged.opened;
      expect(handles.map(({ state }) => state)).toEqual(['failed', 'completed']);
      expect(await handles[0]?.settled).toMatchObject({ error });
      const errors = lines.filter(([level]) => level === 'error');
      expect(errors).toHaveLength(2);
      expect(errors[1]?.[1]).toContain('Expected `onError` not to throw');
    });

    it.each<[string, () => unknown]>([
      ['throws', () => raise(new Error('the disk is full'))],
      ['rejects', () => Promise.reject(new Error('the disk is full'))],
    ])('a logger that %s changes nothing, and makes one warning of the process', async (_how, log) => {
      const warnings = watchWarnings();
      const handles: TaskHandle[] = [];
      const told: Outcome[] = [];
      const handler: Handler = (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(() => raise(error)));
        handles.push(res.locals.backgroundTasks.add(() => 'unharmed'));
        res.end();
      };
      const { background, port } = await start(framework, handler, {
        logger: { error: log, warn: log, info: log, debug: log },
        onError: (_error, outcome) => {
          told.push(outcome);
        },
      });
      await request(port);
      await background.idle();
      expect(handles.map(({ state }) => state)).toEqual(['failed', 'completed']);
      expect(told).toMatchObject([{ state: 'failed', error }]);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2 });
      expect(await warnings()).toEqual(['ERR_BACKGROUND_LOGGER']);
    });
  });
});

/** No promise, but `await` treats it as one. */
function thenable(then: (yes: (value: unknown) => void, no: (thrown: unknown) => void) => void): unknown {
  return Object.fromEntries([['then', then]]);
}

function raise(thrown: unknown): never {
  throw thrown;
}

function recorder(lines: unknown[][], onLine?: () => void): Logger {
  const at =
    (level: string) =>
    (...line: unknown[]): void => {
      if (level !== 'debug') lines.push([level, ...line]);
      onLine?.();
    };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}
