import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it, jest } from '@jest/globals';
import { BackgroundTaskError, backgroundTasks, currentTask, type TaskHandle } from 'express-background-tasks';
import { watchTasks } from 'express-background-tasks/testing';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { durableApp, type Fault, localTasks, Transaction, tasks } from './support/durable-app.ts';
import { leftByQuickCollections, untilCollected } from './support/garbage.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { codeOf, thrownBy } from './support/outcomes.ts';
import { bareHttp, errorAnswering, frameworks, serve, type TaskedResponse } from './support/servers.ts';
import { untilHolds } from './support/time.ts';

const FAILED_CALL: Fault = () => Promise.reject(new Error('connection refused'));
const MIB = 2 ** 20;
const NO_ANSWER: Fault = () => new Promise(() => {});

describe.each(frameworks)('a durable task under $name', (framework) => {
  it('is staged when it is added, held while the response is under way, and released when it has ended', async () => {
    let added!: TaskHandle;
    const mayEnd = makeGate();
    const app = await durableApp(
      async (_req, res) => {
        added = res.locals.backgroundTasks.add(localTasks.echo, 'ada', 7);
        await added.accepted;
        await mayEnd.opened;
        res.end();
      },
      { framework, work: true },
    );
    const answered = app.request();
    const held = await app.until((await accepted(() => added)).id, 'held');
    expect(held).toEqual({ id: added.id, name: 'local.echo', state: 'held', attempts: 0 });
    expect(added.state).toBe('waiting');
    mayEnd.open();
    expect((await answered).status).toBe(200);
    expect(await added.settled).toMatchObject({ state: 'completed', executor: 'engine', value: undefined });
    expect(await app.until(added.id, 'completed')).toMatchObject({ attempts: 1, value: ['ada', 7] });
  });

  it('is discarded when `when` says so, and never runs', async () => {
    const app = await durableApp(
      async (_req, res) => {
        const handle = res.locals.backgroundTasks.with({ when: 'success' }).add(tasks.echo);
        await handle.accepted;
        res.statusCode = 500;
        res.end(handle.id);
      },
      { framework, work: true },
    );
    const { body: id } = await app.request();
    await app.background.idle();
    await app.background.close();
    expect([app.calls('stage'), app.calls('release'), app.calls('discard')]).toEqual([[[id]], [], [[id]]]);
    expect(app.background.stats().executors.engine.outcomes).toMatchObject({ skipped: 1, completed: 0 });
  });
});

/** The handle, as soon as there is one and the engine has its task. */
async function accepted(handle: () => TaskHandle | undefined): Promise<TaskHandle> {
  await untilHolds(() => handle() !== undefined);
  const present = handle() as TaskHandle;
  await present.accepted;
  return present;
}

describe('`accepted`', () => {
  it.each(errorAnswering)('rejects with what $name answers with 503, if the engine refuses', async (framework) => {
    let added!: TaskHandle;
    const app = await durableApp(
      (_req, res, next) => {
        added = res.locals.backgroundTasks.add(tasks.echo, 1);
        added.accepted.then(() => res.end(), next);
      },
      { framework, faults: { stage: FAILED_CALL } },
    );
    const answer = await app.request();
    expect(answer.status).toBe(503);
    const outcome = await added.settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 0 });
    expect(outcome.error).toBeInstanceOf(BackgroundTaskError);
    expect(outcome.error).toMatchObject({ code: 'ERR_BACKGROUND_ENGINE', status: 503, expose: false });
    expect(outcome.error?.message).toBe(
      'Task tasks.echo was not accepted. Expected memory to accept tasks: connection refused',
    );
    await expect(added.accepted).rejects.toBe(outcome.error);
  });

  it('rejects in bounded time if the engine does not answer, and a task that it accepts too late is withdrawn', async () => {
    const lateAnswer = makeGate();
    const app = await durableApp(
      async (_req, res) => {
        const { accepted } = res.locals.backgroundTasks.add(tasks.echo, 1);
        await accepted.catch((error: BackgroundTaskError) => res.writeHead(error.status as number));
        res.end();
      },
      {
        durable: { acceptTimeout: 30 },
        faults: { stage: (proceed) => lateAnswer.opened.then(proceed) },
      },
    );
    expect((await app.request()).status).toBe(503);
    const [[id]] = app.calls('stage') as [[string]];
    lateAnswer.open();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[id]]]);
    expect(app.log.lines.map(({ code }) => code)).toEqual(['ERR_BACKGROUND_ENGINE', undefined]);
  });

  it.each<[string, (mayFail: Promise<void>) => Promise<void>]>([
    ['is lost', async () => {}],
    ['is lost after nobody waits for it any more', (mayFail) => mayFail],
  ])('rejects if the answer %s, and the task that the engine has nevertheless is withdrawn', async (_when, wait) => {
    const mayFail = makeGate();
    const app = await durableApp(
      async (_req, res) => {
        const { id, accepted } = res.locals.backgroundTasks.add(tasks.echo, 1);
        await accepted.catch((error: BackgroundTaskError) => res.writeHead(error.status as number));
        res.end(id);
      },
      {
        durable: { acceptTimeout: 100 },
        faults: {
          async stage(proceed) {
            await wait(mayFail.opened);
            await proceed();
            throw new Error('connection lost');
          },
        },
      },
    );
    const { status, body: id } = await app.request();
    expect(status).toBe(503);
    mayFail.open();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[id]]]);
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
    expect(await app.find(id)).toBeUndefined();
  });

  it('rejects with the refusal of the engine itself, which nobody is told to try again, and there is nothing to take back', async () => {
    const app = await durableApp(
      async (_req, res) => {
        const { accepted, settled } = res.locals.backgroundTasks.add(tasks.echo, 1);
        const error: unknown = await accepted.catch((thrown: unknown) => thrown);
        const outcome = await settled;
        res.end(JSON.stringify([error, (error as Error).message, error === outcome.error]));
      },
      { faults: { stage: () => Promise.reject(new BackgroundTaskError('ERR_BACKGROUND_OPTION', 'not like this')) } },
    );
    const [error, message, isThatOfItsOutcome] = JSON.parse((await app.request()).body) as unknown[];
    expect({ error, message, isThatOfItsOutcome }).toEqual({
      error: expect.objectContaining({ code: 'ERR_BACKGROUND_OPTION' }),
      message: 'not like this',
      isThatOfItsOutcome: true,
    });
    expect(error).not.toHaveProperty('status', 503);
    await app.background.close();
    expect(app.calls('discard')).toEqual([]);
  });

  it('may be ignored: the failure is in the outcome and in the log, and no rejection is left unhandled', async () => {
    const handles: TaskHandle[] = [];
    const app = await durableApp(
      (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(tasks.echo, 1));
        res.end();
      },
      { faults: { stage: FAILED_CALL } },
    );
    expect((await app.request()).status).toBe(200);
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes.map((outcome) => [outcome.state, codeOf(outcome)])).toEqual([['failed', 'ERR_BACKGROUND_ENGINE']]);
    expect(app.log.withCode('ERR_BACKGROUND_ENGINE')).toMatchObject([{ level: 'error', task: 'tasks.echo' }]);
    expect(app.background.stats()).toMatchObject({ added: 1, settled: 1, waiting: 0 });
  });

  it('waits for an engine that is not up yet, within its time limit', async () => {
    let mayStart = false;
    const app = await durableApp(
      async (_req, res) => {
        const { accepted } = res.locals.backgroundTasks.add(tasks.echo, 1);
        res.end(await accepted.then(String, (error: Error) => error.message));
      },
      {
        durable: { acceptTimeout: 400 },
        faults: { start: (proceed) => (mayStart ? proceed() : Promise.reject(new Error('nobody is at home'))) },
      },
    );
    expect((await app.request()).body).toMatch(/^Task tasks\.echo was not accepted\..*nobody is at home$/);
    mayStart = true;
    await app.background.ready();
    expect((await app.request()).body).toBe('undefined');
    // However often it was tried, the reason was logged once.
    expect(app.log.lines.filter(({ message }) => message === 'The engine memory: nobody is at home')).toHaveLength(1);
  });

  it('an engine that lets nobody fetch tasks is asked again until it does, and the reason is logged once', async () => {
    let refusals = 2;
    const app = await durableApp(() => {}, {
      work: true,
      faults: {
        work: (proceed) => {
          refusals -= 1;
          return refusals < 0 ? proceed() : Promise.reject(new Error('no more workers'));
        },
      },
    });
    const { id } = app.background.add(tasks.echo, 1);
    await app.background.ready();
    await app.until(id, 'completed');
    expect(app.log.lines.filter(({ message }) => message === 'The engine memory: no more workers')).toHaveLength(1);
  });

  it('an engine that lets nobody fetch tasks is not asked again by an instance that is closing', async () => {
    let calls = 0;
    const [mayRefuse, mayEnd] = [makeGate(), makeGate()];
    const app = await durableApp(() => {}, {
      work: true,
      faults: {
        work: async () => {
          calls += 1;
          await mayRefuse.opened;
          throw new Error('no more workers');
        },
      },
    });
    atEnd(mayEnd.open);
    await untilHolds(() => calls > 0);
    atEnd(() => jest.useRealTimers());
    // It would be asked again after a pause.
    jest.useFakeTimers();
    mayRefuse.open();
    app.background.add(() => mayEnd.opened);
    const closed = app.background.close({ timeout: Number.POSITIVE_INFINITY });
    await expect(app.background.ready()).rejects.toMatchObject({ code: 'ERR_BACKGROUND_CLOSED' });
    await jest.advanceTimersByTimeAsync(10_000);
    expect(calls).toBe(1);
    mayEnd.open();
    await closed;
  });

  it('`accepted` that has rejected keeps nothing of its task in memory, though the engine is still not up', async () => {
    const app = await durableApp(() => {}, { durable: { acceptTimeout: 20 }, faults: { start: NO_ANSWER } });
    const watcher = watchTasks(app.background, 'run');
    const { settled } = app.background.add(tasks.echo, { order: 7 });
    const argument = new WeakRef(watcher.added[0]?.args[0] as object);
    watcher.clear();
    expect(await settled).toMatchObject({ state: 'failed' });
    await untilCollected(argument);
  });

  it('that has resolved keeps nothing of its task in memory, though it was cancelled and cannot be discarded yet', async () => {
    let isAsked = false;
    const engine = memoryEngine({
      intercept(method, proceed) {
        isAsked ||= method === 'discard';
        if (method === 'discard') return Promise.reject(new Error('connection refused'));
        return method === 'stage' ? Promise.resolve() : proceed();
      },
    });
    const background = makeBackground({ engine });
    const watcher = watchTasks(background, 'run');
    const handle = background.add(tasks.echo, { order: 7 });
    const argument = new WeakRef(watcher.added[0]?.args[0] as object);
    watcher.clear();
    handle.cancel();
    await untilHolds(() => isAsked);
    await untilCollected(argument);
  });

  it('is resolved for tasks that are not durable', async () => {
    const background = makeBackground();
    await expect(background.add(() => 1).accepted).resolves.toBeUndefined();
  });
});

describe('the tasks of one response', () => {
  it('are staged in one call and released in one call, in the order added', async () => {
    const app = await durableApp(async (_req, res) => {
      const handles = [1, 2, 3].map((value) => res.locals.backgroundTasks.add(tasks.echo, value));
      await Promise.all(handles.map(({ accepted }) => accepted));
      res.end(handles.map(({ id }) => id).join());
    });
    const ids = (await app.request()).body.split(',');
    await app.background.idle();
    expect([app.calls('stage'), app.calls('release')]).toEqual([[ids], [ids]]);
    expect([...ids].sort()).toEqual(ids);
  });

  it('are handed over without waiting for those that run here, and the other way round', async () => {
    const order: string[] = [];
    const mayEnd = makeGate();
    const released = makeGate();
    const app = await durableApp((_req, res) => {
      const list = res.locals.backgroundTasks;
      list.add(async () => {
        order.push('first');
        await mayEnd.opened;
      });
      void list.add(tasks.echo).settled.then(() => released.open());
      list.add(() => order.push('last'));
      res.end();
    });
    await app.request();
    await released.opened;
    expect(order).toEqual(['first']);
    mayEnd.open();
    await app.background.idle();
    expect(order).toEqual(['first', 'last']);
  });

  it('wait behind calls that are under way, and then go together', async () => {
    const gates = [makeGate(), makeGate(), makeGate()];
    let call = 0;
    const app = await durableApp(() => {}, {
      faults: { stage: (proceed) => (gates[call++] as (typeof gates)[number]).opened.then(proceed) },
    });
    const { background } = app;
    await background.ready();
    const handles: TaskHandle[] = [];
    for (let count = 0; count < 6; count += 1) {
      handles.push(background.add(tasks.echo, count));
      await new Promise(setImmediate);
    }
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([1, 1]);
    for (const { open } of gates) open();
    await Promise.all(handles.map(({ accepted }) => accepted));
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([1, 1, 4]);
  });

  it('go together as far as they are small: what is large needs a call of its own', async () => {
    const app = await durableApp(() => {}, { durable: { maxArgumentsSize: 3 * MIB } });
    const addAll = (args: readonly string[]): TaskHandle[] => args.map((arg) => app.background.add(tasks.echo, arg));
    const half = 'é'.repeat(MIB / 4);
    const handles = addAll(['', half.slice(100), half.slice(100), '', half, 'b'.repeat(2 * MIB), '', '']);
    await Promise.all(handles.map(({ accepted }) => accepted));
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([4, 1, 1, 2]);
    expect(app.calls('stage').flat()).toEqual(handles.map(({ id }) => id));
  });

  it('count with their context', async () => {
    const app = await durableApp(
      (_req, res) => {
        for (const value of [1, 2, 3]) res.locals.backgroundTasks.add(tasks.echo, value);
        res.end();
      },
      { durable: { maxArgumentsSize: MIB }, context: () => 'c'.repeat(0.4 * MIB) },
    );
    await app.request();
    await app.background.idle();
    expect(app.calls('stage').map((ids) => ids.length)).toEqual([2, 1]);
  });
});

describe('durable tasks that come and go', () => {
  it('are let go by the quick collections of garbage', async () => {
    // Keeps nothing, so that whatever is left is ours.
    const engine = memoryEngine({
      intercept: async (method, proceed, [argument]) => {
        if (method !== 'stage' && method !== 'release') return proceed();
        await new Promise(setImmediate);
        return method === 'stage' ? undefined : (argument as readonly string[]).map(() => 'released');
      },
    });
    const background = backgroundTasks({ engine, history: 0, logger: false });
    atEnd(() => background.close());
    await background.ready();
    const large = new Array(1_000).fill(1);
    const handOverFive = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 5 }, () => background.add(tasks.echo, large).settled));
    expect(await leftByQuickCollections(400, handOverFive)).toBeLessThan(5 * 1_000);
  });
});

describe('what is staged', () => {
  it('is the name, the arguments, the context, and the policy of all levels', async () => {
    const staged: unknown[] = [];
    const engine = memoryEngine();
    const background = backgroundTasks({
      engine: engine.connect({
        intercept: (method, proceed, [argument]) => {
          if (method === 'stage') staged.push(...(argument as unknown[]));
          return proceed();
        },
      }),
      logger: false,
      timeout: 5_000,
      retry: { delay: 10 },
      durable: { hold: 70_000 },
      context: () => ({ requestId: 'r-1' }),
    });
    const port = await serve((req, res) => {
      background(req, res, () => {
        const list = (res as TaskedResponse).locals.backgroundTasks;
        const { accepted } = list.with({ priority: 5, retry: { factor: 3 } }).add(tasks.echo, 'ä', 1);
        void accepted.then(() => res.end());
      });
    });
    await request(port);
    await background.close();
    expect(staged).toEqual([
      {
        envelope: {
          v: 1,
          id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/),
          task: 'tasks.echo',
          args: ['ä', 1],
          context: { requestId: 'r-1' },
          timeout: 5_000,
        },
        holdMs: 70_000,
        priority: 5,
        retry: { attempts: 3, delay: 10, factor: 3, maxDelay: 30_000, jitter: 0.5 },
      },
    ]);
  });

  it('is a copy of the arguments as they were at `add`', async () => {
    const app = await durableApp(() => {}, { work: true });
    const list = [1];
    const { id } = app.background.add(localTasks.echo, list);
    list.push(2);
    expect((await app.until(id, 'completed')).value).toEqual([[1]]);
  });

  it.each<[string, unknown, string]>([
    ['a date', { sentAt: new Date(0) }, 'an object of class Date at [0].sentAt'],
    ['a function', [() => 1], 'function (anonymous) at [0][0]'],
    ['undefined', undefined, 'undefined at [0]'],
    ['a number that is none', Number.NaN, 'NaN at [0]'],
    ['a big integer', 1n, 'a bigint at [0]'],
    ['a map', new Map(), 'an object of class Map at [0]'],
    ['bytes', Buffer.from('ab'), 'an object of class Buffer at [0]'],
    ['a getter', Object.defineProperty({}, 'x', { get: () => 1, enumerable: true }), 'a getter at [0].x'],
    ['what makes JSON of itself', { toJSON: () => 1 }, 'an object at [0]'],
  ])('is never a value that JSON would change, such as %s', async (_name, value, fault) => {
    const { background } = await durableApp(() => {});
    const error = thrownBy(() => background.add(tasks.echo, value));
    expect(error.code).toBe('ERR_BACKGROUND_NOT_JSON');
    expect(error.message).toBe(
      `Expected the arguments of task tasks.echo to be JSON, got ${fault}: pass plain data, or an id that the task can look it up by.`,
    );
    expect(background.stats().added).toBe(0);
  });

  it('does not contain itself', async () => {
    const { background } = await durableApp(() => {});
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(thrownBy(() => background.add(tasks.echo, circle)).code).toBe('ERR_BACKGROUND_NOT_JSON');
  });

  it('is no larger than the limit', async () => {
    const { background } = await durableApp(() => {}, { durable: { maxArgumentsSize: 100 } });
    const error = thrownBy(() => background.add(tasks.echo, 'ä'.repeat(50)));
    expect(error.code).toBe('ERR_BACKGROUND_TOO_LARGE');
    expect(error.message).toContain('at most 100 bytes of JSON, got 104');
    await background.add(tasks.echo, 'ä'.repeat(48)).accepted;
  });
});

describe('a task whose response ends before it was staged', () => {
  it('needs no hold, and no release', async () => {
    const app = await durableApp((_req, res) => res.end(res.locals.backgroundTasks.add(tasks.echo).id));
    const { body: id } = await app.request();
    await app.background.idle();
    expect([app.calls('stage'), app.calls('release')]).toEqual([[[id]], []]);
    expect(await app.until(id, 'waiting')).toMatchObject({ attempts: 0 });
  });
});

describe('a task that is added outside a response, or after it', () => {
  it('is not held', async () => {
    const app = await durableApp(() => {}, { work: true });
    const { id, settled } = app.background.add(localTasks.describeItself);
    expect((await app.until(id, 'completed')).value).toEqual({ id, name: 'local.describeItself', attempt: 1 });
    expect(await settled).toMatchObject({ state: 'completed' });
    expect(app.calls('release')).toEqual([]);
  });

  it('is released at once where the response has ended', async () => {
    const late = makeGate<TaskHandle>();
    const app = await durableApp(
      (_req, res) => {
        res.once('close', () => setImmediate(() => late.open(res.locals.backgroundTasks.add(localTasks.echo, 1))));
        res.end();
      },
      { work: true },
    );
    await app.request();
    const { id } = await late.opened;
    expect(await app.until(id, 'completed')).toMatchObject({ value: [1] });
  });
});

describe('a task that is cancelled', () => {
  it('before it is released, is withdrawn', async () => {
    const app = await durableApp(async (_req, res) => {
      const handle = res.locals.backgroundTasks.add(tasks.echo);
      await handle.accepted;
      expect(handle.cancel('no longer wanted')).toBe(true);
      res.end(handle.id);
    });
    const { body: id } = await app.request();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[id]]]);
    expect(app.background.stats().executors.engine.outcomes).toMatchObject({ cancelled: 1 });
  });

  it('while the engine is asked to accept it, is withdrawn when the answer comes, and not released', async () => {
    const mayAnswer = makeGate();
    let added!: TaskHandle;
    const app = await durableApp(
      async (_req, res) => {
        added = res.locals.backgroundTasks.add(tasks.echo);
        await untilHolds(() => app.calls('stage').length > 0);
        res.end();
      },
      { faults: { stage: (proceed) => mayAnswer.opened.then(proceed) } },
    );
    await app.request();
    await untilHolds(() => added.state !== 'waiting');
    expect(added.cancel()).toBe(true);
    mayAnswer.open();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[added.id]]]);
    expect(await app.find(added.id)).toBeUndefined();
  });

  it('before the engine could be asked to take it, never runs', async () => {
    const mayStart = makeGate();
    const app = await durableApp(() => {}, { faults: { start: (proceed) => mayStart.opened.then(proceed) } });
    const handle = app.background.add(tasks.echo);
    expect(handle.cancel()).toBe(true);
    mayStart.open();
    await handle.accepted;
    await app.background.close();
    expect(await app.find(handle.id)).toBeUndefined();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('after that is not cancelled: the engine has it', async () => {
    const app = await durableApp(() => {});
    const handle = app.background.add(tasks.echo);
    await handle.settled;
    expect(handle.cancel()).toBe(false);
  });
});

describe('`find`', () => {
  it('answers for tasks of other processes, for tasks that run here, and for what is not there', async () => {
    const one = await durableApp(() => {});
    const other = await durableApp(() => {}, { engine: one.engine, work: true });
    const { id } = one.background.add(localTasks.fail, 'no such order', 'ENOENT');
    const failed = await one.until(id, 'retrying');
    expect(failed).toMatchObject({
      attempts: 1,
      error: { name: 'RangeError', message: 'no such order', code: 'ENOENT' },
    });
    expect(await other.background.find(id)).toMatchObject({ id, name: 'local.fail' });
    const local = one.background.add(() => 1);
    await local.settled;
    expect(await one.background.find(local.id)).toMatchObject({ state: 'completed', value: 1 });
    expect(await one.background.find('nobody')).toBeUndefined();
    expect(await one.background.find(id.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')))).toBeUndefined();
  });

  it('still answers for a task of its own when it has worked on more tasks than the history keeps', async () => {
    const one = await durableApp(() => {});
    const { background } = await durableApp(() => {}, { engine: one.engine, work: true, history: 1 });
    const own = background.add(() => 1);
    await own.settled;
    const { id } = one.background.add(localTasks.echo, 'ada');
    await one.until(id, 'completed');
    expect(await background.find(own.id)).toMatchObject({ state: 'completed', value: 1 });
  });

  it('finds a task that the engine has never accepted', async () => {
    const { background } = await durableApp(() => {}, { faults: { stage: FAILED_CALL } });
    const handle = background.add(tasks.echo);
    await handle.settled;
    expect(await background.find(handle.id)).toMatchObject({ state: 'failed', executor: 'engine' });
  });

  it('finds nothing for a task that was handed over and that the engine does not have, such as one that was rolled back', async () => {
    const { background } = await durableApp(() => {}, { transactions: true });
    const handle = background.with({ transaction: new Transaction() }).add(tasks.echo);
    expect((await handle.settled).state).toBe('completed');
    expect(await background.find(handle.id)).toBeUndefined();
  });

  it('asks the engine for nothing but ids, whatever a route is given in their place', async () => {
    const { background } = await durableApp(() => {}, { faults: { find: FAILED_CALL } });
    const { id } = background.add(tasks.echo);
    for (const wrong of [[id], { id }, { toString: null }, `${id}\0`, undefined]) {
      expect(await background.find(wrong as string)).toBeUndefined();
    }
  });

  it('rejects if the engine does not answer', async () => {
    const { background } = await durableApp(() => {}, { faults: { find: FAILED_CALL } });
    const { id } = background.add(tasks.echo);
    await expect(background.find(id)).rejects.toMatchObject({ code: 'ERR_BACKGROUND_ENGINE', status: 503 });
  });
});

describe('`engineStats`', () => {
  it('counts what the engine holds', async () => {
    const app = await durableApp(() => {});
    await app.background.add(tasks.echo).accepted;
    expect(await app.background.engineStats()).toEqual({ held: 0, waiting: 1, running: 0, failed: 0 });
  });
});

describe('options that have no meaning for a task', () => {
  it.each<[string, string, () => unknown]>([
    [
      'a transaction on an engine without transactions',
      'with an engine that has transactions, got memory',
      () => makeBackground({ engine: memoryEngine() }).with({ transaction: {} }).add(tasks.echo),
    ],
    [
      'a transaction for a task that is not durable',
      'a durable task on an engine',
      () =>
        makeBackground({ engine: memoryEngine() })
          .with({ transaction: {} })
          .add(() => 1),
    ],
    [
      'a transaction without an engine',
      'a durable task on an engine',
      () => makeBackground().with({ transaction: {} }).add(tasks.echo),
    ],
    [
      '`retryIf` at `add`, with an engine',
      'to be given to durable(), got it in with()',
      () =>
        makeBackground({ engine: memoryEngine() })
          .with({ retry: { retryIf: () => true } })
          .add(tasks.echo),
    ],
    [
      '`retryIf` at `add`, without one',
      'to be given to durable(), got it in with()',
      () =>
        makeBackground({ logger: false })
          .with({ retry: { retryIf: () => true } })
          .add(tasks.echo),
    ],
    [
      'a name at `add`, with an engine',
      'Expected no `name` of with() for the durable task tasks.echo, got',
      () => makeBackground({ engine: memoryEngine() }).with({ name: 'custom' }).add(tasks.echo),
    ],
    [
      'a name at `add`, without one',
      'Expected no `name` of with() for the durable task tasks.echo, got',
      () => makeBackground({ logger: false }).with({ name: 'custom' }).add(tasks.echo),
    ],
    [
      'a name at `add`, in a test',
      'Expected no `name` of with() for the durable task tasks.echo, got',
      () => makeBackground({ engine: memoryEngine(), mode: 'record' }).with({ name: 'custom' }).add(tasks.echo),
    ],
    [
      'an executor at `add`, with an engine',
      'Expected `executor` of task tasks.echo to be given to durable(), got it in with()',
      () => makeBackground({ engine: memoryEngine() }).with({ executor: 'process' }).add(tasks.echo),
    ],
    [
      'an executor at `add`, without one',
      'Expected `executor` of task tasks.echo to be given to durable(), got it in with()',
      () => makeBackground({ logger: false }).with({ executor: 'thread' }).add(tasks.echo),
    ],
    ['`work` without an engine', 'Expected `engine`', () => backgroundTasks({ work: true })],
    ['an engine that is none', 'to be an engine, such as', () => backgroundTasks({ engine: {} as never })],
    [
      'an engine that another instance has',
      'got a memory engine that another one uses or has used',
      () => {
        const engine = memoryEngine();
        makeBackground({ engine });
        makeBackground({ engine });
      },
    ],
  ])('are refused: %s', (_name, message, call) => {
    const error = thrownBy(call);
    expect(error.code).toBe('ERR_BACKGROUND_OPTION');
    expect(error.message).toContain(message);
  });
});

describe('an engine', () => {
  it('can be given again where backgroundTasks() has failed', async () => {
    const engine = memoryEngine();
    const pool = { minThreads: 1, execArgv: ['--no-such-option'] };
    expect(thrownBy(() => backgroundTasks({ engine, pool })).code).toBe('ERR_BACKGROUND_THREAD_START');
    const background = backgroundTasks({ engine });
    await background.ready();
    await background.close();
  });
});

describe('without an engine', () => {
  it('durable tasks run in this process, and one warning says so', async () => {
    const { logger, lines } = openLogBook();
    const background = makeBackground({ logger });
    const handles = [1, 2].map((value) => background.add(tasks.echo, value));
    await Promise.all(handles.map(({ accepted }) => accepted));
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes).toMatchObject([
      { executor: 'thread', value: [1] },
      { executor: 'thread', value: [2] },
    ]);
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { message: expect.stringContaining('Task tasks.echo is durable, but backgroundTasks() has no `engine`') },
    ]);
  });

  it('one on the event loop sees the store of the place where it was added, in each of its attempts', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const look = (): void => void seen.push(storage.getStore());
    const lookTwice = (): void => {
      look();
      if (currentTask()?.attempt === 1) throw new Error('once');
    };
    const background = makeBackground({ logger: false, retry: { attempts: 2, delay: 1 } });
    const listener = bareHttp.listener([background], (_req, res) => {
      const { backgroundTasks: list } = res.locals;
      storage.run('first', () => list.add(localTasks.call, look));
      storage.run('second', () => list.add(localTasks.call, lookTwice));
      storage.run('third', () => list.add(localTasks.call, look));
      list.add(localTasks.call, look);
      res.end();
    });
    await request(await serve(listener));
    await background.idle();
    expect(seen).toEqual(['first', 'second', 'second', 'third', undefined]);
  });
});

describe('in tests of an application', () => {
  it.each([
    ['inline', 'completed'],
    ['record', 'skipped'],
  ] as const)('durable tasks go to no engine in mode %s', async (mode, state) => {
    const app = await durableApp(async (_req, res) => {
      const handle = res.locals.backgroundTasks.with({ transaction: {} }).add(tasks.echo, 'ada');
      await handle.accepted;
      res.end();
    });
    const watcher = watchTasks(app.background, mode);
    await app.request();
    expect(await watcher.outcomesOf(tasks.echo)).toMatchObject([{ state, executor: 'thread' }]);
    expect(watcher.added).toMatchObject([{ name: 'tasks.echo', args: ['ada'] }]);
    watcher.restore();
    expect(app.calls('stage')).toEqual([]);
  });

  it.each(['inline', 'record'] as const)('they are refused in mode %s whatever the engine would refuse', (mode) => {
    const background = makeBackground({ mode, engine: memoryEngine(), durable: { maxArgumentsSize: 100 } });
    expect(thrownBy(() => background.add(localTasks.echo, new Date(0))).code).toBe('ERR_BACKGROUND_NOT_JSON');
    expect(thrownBy(() => background.add(tasks.echo, 'x'.repeat(100))).code).toBe('ERR_BACKGROUND_TOO_LARGE');
    const retried = background.with({ retry: { retryIf: () => true } });
    expect(thrownBy(() => retried.add(tasks.echo)).code).toBe('ERR_BACKGROUND_OPTION');
    expect(background.stats().added).toBe(0);
  });

  it('they are given copies of their arguments, as in a worker, wherever they run', async () => {
    const background = makeBackground({ mode: 'inline', engine: memoryEngine() });
    const list = [{ sent: 1, left: undefined }];
    const { settled } = background.add(localTasks.echo, list);
    list.length = 0;
    expect((await settled).value).toStrictEqual([[{ sent: 1 }]]);
  });

  it('they are watched on their way to an engine in memory as well', async () => {
    const app = await durableApp((_req, res) => void res.end(res.locals.backgroundTasks.add(tasks.echo, 1).id));
    const watcher = watchTasks(app.background, 'run');
    const { body: id } = await app.request();
    expect(await watcher.outcomesOf(tasks.echo)).toMatchObject([{ id, executor: 'engine', state: 'completed' }]);
  });

  it('an instance that was made for tests connects to no engine, and answers as if it had one', async () => {
    const calls: string[] = [];
    const engine = memoryEngine({
      intercept(method, proceed) {
        calls.push(method);
        return proceed();
      },
    });
    const background = backgroundTasks({ mode: 'inline', engine, logger: false });
    await background.ready();
    const handle = background.add(tasks.echo, 1);
    expect(await handle.settled).toMatchObject({ executor: 'thread', value: [1] });
    expect(await background.find(handle.id)).toMatchObject({ state: 'completed' });
    expect(await background.engineStats()).toEqual({ held: 0, waiting: 0, running: 0, failed: 0 });
    await background.close();
    expect(calls).toEqual([]);
  });

  it('an instance that was made for tests cannot be watched in mode run, since its engine was never connected', async () => {
    const { logger, lines } = openLogBook();
    const background = makeBackground({ mode: 'inline', engine: memoryEngine(), logger });
    const error = thrownBy(() => watchTasks(background, 'run'));
    expect(error.code).toBe('ERR_BACKGROUND_OPTION');
    expect(error.message).toBe(
      "Expected the mode of watchTasks() to be 'inline' or 'record', got 'run': this backgroundTasks() was made with mode: 'inline', so that its engine was never connected. Make it without `mode`, or without `engine`.",
    );
    const watcher = watchTasks(background, 'record');
    background.add(tasks.echo, 1);
    expect(await watcher.outcomesOf(tasks.echo)).toMatchObject([{ state: 'skipped' }]);
    watcher.restore();
    expect((await background.add(tasks.echo, 2).settled).value).toEqual([2]);
    expect(lines).not.toContainEqual(expect.objectContaining({ level: 'warn' }));
  });

  it('an instance that was made for tests without an engine can be watched in mode run', async () => {
    const background = makeBackground({ mode: 'inline' });
    const watcher = watchTasks(background, 'run');
    background.add(tasks.echo, 1);
    expect(await watcher.outcomesOf(tasks.echo)).toMatchObject([{ state: 'completed', value: [1] }]);
    expect(background.stats().executors.thread.threads).toBe(1);
  });
});

describe('when the instance is closed', () => {
  it('a task whose response is under way is named as abandoned, and runs elsewhere when its hold is over', async () => {
    const added = makeGate<TaskHandle>();
    const app = await durableApp(
      async (_req, res) => {
        const handle = res.locals.backgroundTasks.add(localTasks.echo, 'order 7');
        await handle.accepted;
        added.open(handle);
      },
      { durable: { hold: 1_000, acceptTimeout: 500 } },
    );
    app.request().catch(() => {});
    const { id } = await added.opened;
    const { abandoned } = await app.background.close({ timeout: 0 });
    expect(abandoned).toMatchObject([{ id, name: 'local.echo', executor: 'engine', arguments: ["'order 7'"] }]);
    expect(abandoned[0]?.error?.message).toMatch(
      /ran out of time\. If the engine has it, it runs when its hold is over\.$/,
    );
    expect(app.calls('discard')).toEqual([]);
    await durableApp(() => {}, { engine: app.engine, work: true });
    expect(await app.until(id, 'completed')).toMatchObject({ value: ['order 7'] });
  });

  it('a task that the engine was not asked to take yet is said to run when its hold is over, where it would have one', async () => {
    const added = makeGate();
    const app = await durableApp(
      (_req, res) => {
        res.locals.backgroundTasks.add(tasks.echo);
        added.open();
      },
      { faults: { start: NO_ANSWER } },
    );
    app.request().catch(() => {});
    await added.opened;
    app.background.add(tasks.echo);
    const { abandoned } = await app.background.close({ timeout: 0 });
    expect(abandoned.map(({ error }) => error?.message)).toEqual([
      expect.stringMatching(/ran out of time\. If the engine has it, it runs when its hold is over\.$/),
      expect.stringMatching(/ran out of time\. If the engine has it, it runs\.$/),
    ]);
  });

  it('adds no more, and does not wait for an engine that gives no answer; a task without a hold is not said to have one', async () => {
    const app = await durableApp(() => {}, { faults: { stage: NO_ANSWER, close: NO_ANSWER } });
    const { settled } = app.background.add(tasks.echo);
    const { abandoned } = await app.background.close({ timeout: 50 });
    expect(abandoned).toHaveLength(1);
    expect(abandoned[0]?.error?.message).toMatch(/ran out of time\. If the engine has it, it runs\.$/);
    expect(codeOf(await settled)).toBe('ERR_BACKGROUND_ABANDONED');
    expect(thrownBy(() => app.background.add(tasks.echo)).code).toBe('ERR_BACKGROUND_CLOSED');
  });

  it('does not wait for an engine that is down, and logs nothing about it', async () => {
    const app = await durableApp(() => {}, { faults: { start: FAILED_CALL }, work: true });
    const ready = app.background.ready();
    await app.background.close();
    await expect(ready).rejects.toMatchObject({ code: 'ERR_BACKGROUND_CLOSED' });
    expect(app.log.withCode('ERR_BACKGROUND_CLOSED')).toEqual([]);
  });

  it('what its engine is asked after that is refused at once, though the engine was never up', async () => {
    const { background } = await durableApp(() => {}, { faults: { start: FAILED_CALL } });
    await background.close();
    const refused = background.engineStats().catch((error: BackgroundTaskError) => error.code);
    const turned = new Promise((resolve) => setImmediate(resolve, 'still asking'));
    expect(await Promise.race([refused, turned])).toBe('ERR_BACKGROUND_ENGINE');
  });

  it.each([
    ['an error', new Error('connection lost'), 'connection lost'],
    ['nothing', undefined, 'Expected an Error to be thrown, got undefined.'],
  ])(
    'the log says once that the engine could not stop fetching, with %s as the reason',
    async (_what, reason, said) => {
      const stop = () => Promise.reject(reason);
      const app = await durableApp(() => {}, { faults: { work: async () => ({ stop }) }, work: true });
      await app.background.ready();
      await app.background.close();
      expect(app.log.lines.map(({ message }) => message)).toEqual([`The engine memory: ${said}`]);
    },
  );
});
