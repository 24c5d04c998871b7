/** Options of a task, on three levels, and their effect: `when`, `timeout`, `retry`, `priority`, `name`. */
import { createHook } from 'node:async_hooks';
import { describe, expect, it, jest } from '@jest/globals';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  currentTask,
  defineTask,
  type Outcome,
  type TaskOptions,
  type When,
} from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { codeOf } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { runScript } from './support/scripts.ts';
import { bareHttp, serve, type TaskedResponse } from './support/servers.ts';
import { untilHolds, work } from './support/time.ts';

expectNoProcessFaults();

const moduleUrl = fixture('thread-tasks.mjs');
type ThreadTasks = typeof import('./fixtures/thread-tasks.mjs');

function fail(): never {
  throw new Error('it failed');
}

function delaysOf(background: BackgroundTasks): number[] {
  const delays: number[] = [];
  background.on('retrying', ({ delayMs }) => delays.push(delayMs));
  return delays;
}

/** One request, answered with `statusCode` after the handler has added its tasks; resolves when they have settled. */
async function respond(
  background: BackgroundTasks,
  addTasks: (list: TaskedResponse['locals']['backgroundTasks']) => void,
  statusCode = 200,
): Promise<void> {
  const port = await serve(
    bareHttp.listener([background], (_req, res) => {
      addTasks(res.locals.backgroundTasks);
      res.statusCode = statusCode;
      res.end();
    }),
  );
  await request(port);
  await background.idle();
}

describe('the three levels of options', () => {
  const own: TaskOptions = { name: 'own', timeout: 40 };

  // Each ends by its time limit; its error shows which level set it.
  const kinds: readonly [
    string,
    (background: BackgroundTasks, options: TaskOptions, nearer?: TaskOptions) => Promise<Outcome>,
  ][] = [
    [
      'defineTask',
      (background, options, nearer) => {
        const task = defineTask(() => work(100), options);
        return (nearer === undefined ? background : background.with(nearer)).add(task).settled;
      },
    ],
    [
      'blocking',
      (background, options, nearer) => {
        const { waitForSignal } = blocking<ThreadTasks>(moduleUrl, options);
        return (nearer === undefined ? background : background.with(nearer)).add(waitForSignal).settled;
      },
    ],
  ];
  const open = (): BackgroundTasks => makeBackground({ timeout: 60, pool: { maxThreads: 1 } });

  it.each(kinds)('the option of the middleware applies if the task has none: %s', async (_kind, run) => {
    const outcome = await run(open(), {});
    expect(outcome.state).toBe('timed-out');
    expect(outcome.error?.message).toContain('60 ms');
  });

  it.each(kinds)('the task itself wins over the middleware: %s', async (_kind, run) => {
    const outcome = await run(open(), own);
    expect(outcome).toMatchObject({ state: 'timed-out', name: 'own' });
    expect(outcome.error?.message).toContain('40 ms');
  });

  it.each(kinds)('`with` wins over both: %s', async (_kind, run) => {
    const outcome = await run(open(), own, { name: 'nearest', timeout: 20 });
    expect(outcome).toMatchObject({ state: 'timed-out', name: 'nearest' });
    expect(outcome.error?.message).toContain('20 ms');
  });

  it.each(kinds)('what is undefined on a near level is taken from the next: %s', async (_kind, run) => {
    const outcome = await run(open(), own, { name: undefined, timeout: undefined });
    expect(outcome).toMatchObject({ name: 'own' });
    expect(outcome.error?.message).toContain('40 ms');
  });

  it('priority: the task sets it, and `with` wins', async () => {
    const background = makeBackground();
    const priorities: number[] = [];
    background.on('added', ({ priority }) => priorities.push(priority));
    const task = defineTask(() => {}, { priority: 7 });
    background.add(() => {});
    background.add(task);
    background.with({ priority: -7 }).add(task);
    await background.idle();
    expect(priorities).toEqual([0, 7, -7]);
  });

  it('name: the function or the export gives it if it is not set', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const { add } = blocking<ThreadTasks>(moduleUrl);
    expect(background.add(async function sendMail() {}).name).toBe('sendMail');
    expect(background.add(() => {}).name).toBe('anonymous');
    expect(background.add(add, 1, 2).name).toBe('add');
    await background.idle();
  });

  it('retry: its fields are merged one by one', async () => {
    const background = makeBackground({ retry: { attempts: 9, delay: 500, factor: 3, jitter: 0 } });
    const delays = delaysOf(background);
    const task = defineTask(fail, { retry: { delay: 2, maxDelay: 10 } });
    const outcome = await background.with({ retry: { attempts: 4 } }).add(task).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 4 });
    expect(delays).toEqual([2, 6, 10]);
  });

  it('when: each level may decide', async () => {
    const background = makeBackground({ when: 'failure' });
    const ran: string[] = [];
    const run = (name: string): void => {
      ran.push(name);
    };
    const ownSuccess = defineTask(run, { when: 'success' });
    await respond(background, (list) => {
      list.add(run, 'the middleware says failure');
      list.add(ownSuccess, 'the task says success');
      list.with({ when: 'always' }).add(run, 'with says always');
      list.with({ when: 'failure' }).add(ownSuccess, 'with says failure');
    });
    expect(ran).toEqual(['the task says success', 'with says always']);
    expect(background.stats().outcomes).toMatchObject({ completed: 2, skipped: 2 });
  });

  it('one function may be defined twice, with two policies', async () => {
    const background = makeBackground({ retry: { delay: 0 } });
    const patient = defineTask(fail, { name: 'patient', retry: { attempts: 3 } });
    const hasty = defineTask(fail, { name: 'hasty' });
    expect(await background.add(patient).settled).toMatchObject({ name: 'patient', attempts: 3 });
    expect(await background.add(hasty).settled).toMatchObject({ name: 'hasty', attempts: 1 });
    expect(await background.add(fail).settled).toMatchObject({ name: 'fail', attempts: 1 });
  });

  it('a defined task can still be called as the function that it is', () => {
    const add = defineTask((a: number, b: number) => a + b, { name: 'sum' });
    expect(add(1, 2)).toBe(3);
    expect(add.name).toBe('sum');
  });

  it('options that are changed after they were given change nothing', async () => {
    const retry = { attempts: 2, delay: 0 };
    const options = { name: 'kept', retry };
    const middleware = { retry: { factor: 1, jitter: 0 }, timeout: 1_000 };
    const background = makeBackground(middleware);
    const task = defineTask(fail, options);
    const adder = background.with(options);
    options.name = 'changed';
    retry.attempts = 5;
    middleware.timeout = 1;

    expect(await background.add(task).settled).toMatchObject({ name: 'kept', attempts: 2 });
    expect(await adder.add(fail).settled).toMatchObject({ name: 'kept', attempts: 2 });
  });
});

describe('retry', () => {
  it('starts a failing task as often as `attempts` says, and settles once', async () => {
    const onError = jest.fn();
    const background = makeBackground({ retry: { attempts: 4, delay: 0 }, onError });
    const attempts: unknown[] = [];
    const settled: string[] = [];
    background.on('settled', ({ state }) => settled.push(state));
    const outcome = await background.add(() => {
      attempts.push(currentTask()?.attempt);
      fail();
    }).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 4, error: { message: 'it failed' } });
    expect(attempts).toEqual([1, 2, 3, 4]);
    expect(settled).toEqual(['failed']);
    expect(onError).toHaveBeenCalledTimes(1);
  });

  it('ends with the first attempt that succeeds', async () => {
    const background = makeBackground({ retry: { attempts: 9, delay: 0 } });
    const outcome = await background.add(() => {
      if (currentTask()?.attempt !== 3) fail();
      return 'at last';
    }).settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 3, value: 'at last' });
    expect(outcome.error).toBeUndefined();
  });

  it('does not happen unless it is set', async () => {
    expect(await makeBackground().add(fail).settled).toMatchObject({ state: 'failed', attempts: 1 });
  });

  it('waits longer each time, by `factor`, up to `maxDelay`', async () => {
    const background = makeBackground({ retry: { attempts: 6, delay: 2, factor: 3, maxDelay: 40, jitter: 0 } });
    const delays = delaysOf(background);
    await background.add(fail).settled;
    expect(delays).toEqual([2, 6, 18, 40, 40]);
  });

  it.each([
    [0, 0],
    [1, 40],
  ])('waits from %d ms on as it is set, though the growth exceeds what a number can hold', async (delay, last) => {
    const retry = { attempts: 5, delay, factor: Number.MAX_VALUE, maxDelay: 40, jitter: 0 };
    const background = makeBackground({ retry });
    const delays = delaysOf(background);
    await background.add(fail).settled;
    expect(delays).toEqual([delay, last, last, last]);
  });

  it('waits for `maxDelay` even where the first delay is longer', async () => {
    const background = makeBackground({ retry: { attempts: 3, delay: 5_000, maxDelay: 3, jitter: 0 } });
    const delays = delaysOf(background);
    await background.add(fail).settled;
    expect(delays).toEqual([3, 3]);
  });

  it('waits at least as long as it says', async () => {
    const background = makeBackground({ retry: { attempts: 2, delay: 50, jitter: 0 } });
    const at: number[] = [];
    await background.add(() => {
      at.push(performance.now());
      fail();
    }).settled;
    // Timers may fire a millisecond early.
    expect((at[1] as number) - (at[0] as number)).toBeGreaterThanOrEqual(49);
  });

  it.each([0.5, 1])('lets jitter shorten a wait, by its fraction at most: %d', async (jitter) => {
    const background = makeBackground({ retry: { attempts: 2, delay: 20, jitter } });
    const delays = delaysOf(background);
    for (let count = 0; count < 100; count += 1) background.add(fail);
    await background.idle();
    expect(delays).toHaveLength(100);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(20 * (1 - jitter));
    expect(Math.max(...delays)).toBeLessThanOrEqual(20);
    expect(new Set(delays).size).toBeGreaterThan(1);
  });

  it('tells every attempt that will be followed by another', async () => {
    const background = makeBackground({ retry: { attempts: 3, delay: 0 } });
    const told: unknown[] = [];
    background.on('retrying', ({ id, name, attempt, error }) =>
      told.push({ id, name, attempt, message: error.message }),
    );
    const handle = background.add(fail);
    await handle.settled;
    const facts = { id: handle.id, name: 'fail', message: 'it failed' };
    expect(told).toEqual([
      { ...facts, attempt: 1 },
      { ...facts, attempt: 2 },
    ]);
  });

  describe('asks `retryIf`', () => {
    const hook = (retryIf: (error: unknown) => unknown): BackgroundTasksOptions => ({
      retry: { attempts: 5, delay: 0, retryIf: retryIf as (error: unknown) => boolean },
    });

    it('stops trying where `retryIf` says no', async () => {
      const error = Object.assign(new Error('forbidden'), { code: 'EACCES' });
      const asked: unknown[] = [];
      const background = makeBackground(
        hook((thrown) => {
          asked.push(thrown);
          return false;
        }),
      );
      const outcome = await background.add(() => Promise.reject(error)).settled;
      expect(outcome).toMatchObject({ state: 'failed', attempts: 1 });
      expect(outcome.error).toBe(error);
      expect(asked).toEqual([error]);
    });

    it.each<[string, () => unknown]>([
      [
        'throws',
        () => {
          throw new Error('the hook is broken');
        },
      ],
      [
        'throws no error',
        () => {
          throw undefined;
        },
      ],
      ['promises to say yes', () => Promise.resolve(true)],
      ['rejects', () => Promise.reject(new Error('the hook is broken'))],
    ])('and stops, with a line in the log, where it %s', async (_what, retryIf) => {
      const log = openLogBook();
      const background = makeBackground({ ...hook(retryIf), logger: log.logger });
      const outcome = await background.add(fail).settled;
      expect(outcome).toMatchObject({ state: 'failed', attempts: 1, error: { message: 'it failed' } });
      expect(log.withCode('ERR_BACKGROUND_HOOK')).toHaveLength(1);
      expect(log.withCode('ERR_BACKGROUND_HOOK')[0]?.message).toContain('retryIf');
    });
  });

  describe('while it waits', () => {
    const patient: TaskOptions = { retry: { attempts: 2, delay: 60_000, jitter: 0 } };

    async function untilRetrying(background: BackgroundTasks): Promise<void> {
      const gate = makeGate();
      background.on('retrying', () => gate.open());
      await gate.opened;
    }

    it('is counted by idle()', async () => {
      const background = makeBackground({ retry: { attempts: 2, delay: 60, jitter: 0 } });
      const events: string[] = [];
      const handle = background.add(fail);
      background.on('settled', () => events.push('settled'));
      expect(handle.state).toBe('retrying');
      expect(background.stats()).toMatchObject({
        retrying: 1,
        running: 0,
        waiting: 0,
        settled: 0,
        backlog: { size: 1 },
      });
      await background.idle();
      events.push('idle');
      expect(events).toEqual(['settled', 'idle']);
    });

    it('is counted by close()', async () => {
      const background = makeBackground({ retry: { attempts: 2, delay: 60, jitter: 0 } });
      const handle = background.add(() => {
        if (currentTask()?.attempt === 1) fail();
      });
      expect(handle.state).toBe('retrying');
      expect(await background.close()).toEqual({ completed: 1, failed: 0, abandoned: [] });
    });

    it('holds no thread', async () => {
      const background = makeBackground({ pool: { maxThreads: 1 } });
      const tasks = blocking<ThreadTasks>(moduleUrl);
      const waiting = background.with(patient).add(tasks.failUntil, 2, new Uint8Array(1));
      await untilRetrying(background);
      expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
      expect(waiting.state).toBe('retrying');
      expect(background.stats().executors.thread).toMatchObject({ retrying: 1, running: 0, idleThreads: 1 });
      waiting.cancel();
    });

    it('can be cancelled', async () => {
      const background = makeBackground();
      let calls = 0;
      const handle = background.with(patient).add(() => {
        calls += 1;
        fail();
      });
      expect(handle.state).toBe('retrying');
      expect(handle.cancel('enough')).toBe(true);
      const outcome = await handle.settled;
      expect(outcome).toMatchObject({ state: 'cancelled', attempts: 1 });
      expect(codeOf(outcome)).toBe('ERR_BACKGROUND_CANCELLED');
      await background.idle();
      expect(calls).toBe(1);
      expect(background.stats()).toMatchObject({ added: 1, settled: 1, retrying: 0 });
    });

    it('a task may be cancelled by the listener of `retrying`', async () => {
      const background = makeBackground();
      const handle = background.with(patient).add(async () => fail());
      background.on('retrying', () => handle.cancel());
      expect(await handle.settled).toMatchObject({ state: 'cancelled', attempts: 1 });
      await background.idle();
    });
  });
});

describe('a time limit on the event loop', () => {
  it('aborts the signal, and the task has timed out', async () => {
    const background = makeBackground({ timeout: 30 });
    const reasons: unknown[] = [];
    const outcome = await background.add(async function slow() {
      const signal = currentTask()?.signal as AbortSignal;
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    }).settled;
    background.add(() => reasons.push(currentTask()?.signal.aborted));
    await background.idle();

    expect(outcome).toMatchObject({ state: 'timed-out', attempts: 1, name: 'slow' });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_TIMEOUT');
    expect(outcome.error?.message).toContain('slow');
    expect(reasons).toEqual([false]);
  });

  it('leaves nothing behind when the task has settled, though each has another', async () => {
    const timeouts = new Set<number>();
    const hook = createHook({
      init: (id, type) => type === 'Timeout' && timeouts.add(id),
      destroy: (id) => timeouts.delete(id),
    }).enable();
    atEnd(() => hook.disable());
    const background = makeBackground();
    for (let count = 0; count < 500; count += 1) {
      const task = (): Promise<void> => Promise.resolve();
      await background.with({ timeout: 60_000 + count }).add(task).settled;
    }
    await work(1);
    expect(timeouts.size).toBeLessThan(100);
  });

  it('is seen by a task that asks for its signal only when it is too late', async () => {
    const background = makeBackground({ timeout: 20 });
    const seen = makeGate<unknown>();
    await background.add(async () => {
      await work(60);
      seen.open(currentTask()?.signal.reason);
    }).settled;
    expect(await seen.opened).toMatchObject({ code: 'ERR_BACKGROUND_TIMEOUT' });
  });

  it.each<[string, () => unknown]>([
    ['returns', () => 'too late'],
    ['throws', fail],
  ])('lets code that ignores it run on, and what that %s changes nothing', async (_what, end) => {
    const log = openLogBook();
    const background = makeBackground({ timeout: 20, logger: log.logger });
    const settled: Outcome[] = [];
    background.on('settled', (outcome) => settled.push(outcome));
    const ended = makeGate();
    const gate = makeGate();
    const handle = background.add(async () => {
      await gate.opened;
      ended.open();
      return end();
    });

    const outcome = await handle.settled;
    expect(outcome.state).toBe('timed-out');
    gate.open();
    await ended.opened;
    await background.add(() => 'beside').settled;
    expect(handle.state).toBe('timed-out');
    expect(await handle.settled).toBe(outcome);
    expect(settled.map(({ state }) => state)).toEqual(['timed-out', 'completed']);
    expect(background.stats()).toMatchObject({
      added: 2,
      settled: 2,
      outcomes: { 'timed-out': 1, completed: 1, failed: 0 },
    });
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
  });

  it('begins with each attempt anew, and counts as a failed attempt', async () => {
    const background = makeBackground({ timeout: 40, retry: { attempts: 3, delay: 0 } });
    const outcome = await background.add(async () => {
      if ((currentTask()?.attempt as number) < 3) await work(200);
      else await work(10);
      return currentTask()?.signal.aborted;
    }).settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 3, value: false });
  });

  it('is given to `retryIf` like any other error', async () => {
    const codes: unknown[] = [];
    const background = makeBackground({
      timeout: 20,
      retry: {
        attempts: 3,
        delay: 0,
        retryIf: ({ code }) => {
          codes.push(code);
          return false;
        },
      },
    });
    expect(await background.add(() => work(100)).settled).toMatchObject({ state: 'timed-out', attempts: 1 });
    expect(codes).toEqual(['ERR_BACKGROUND_TIMEOUT']);
  });

  it('keeps what a late attempt returns away from the attempt that follows it', async () => {
    const background = makeBackground({ timeout: 40, retry: { attempts: 2, delay: 0 } });
    const late = makeGate<string>();
    const outcome = await background.add(async () => {
      if (currentTask()?.attempt === 1) return late.opened;
      late.open('of the first attempt');
      await work(10);
      return 'of the second attempt';
    }).settled;
    expect(outcome).toMatchObject({ state: 'completed', attempts: 2, value: 'of the second attempt' });
  });

  it('can be none at all', async () => {
    const background = makeBackground({ timeout: 10 });
    const outcome = await background.with({ timeout: Number.POSITIVE_INFINITY }).add(() => work(60)).settled;
    expect(outcome.state).toBe('completed');
  });

  it('does not count the time that the response takes', async () => {
    const background = makeBackground({ timeout: 30 });
    const port = await serve(
      bareHttp.listener([background], async (_req, res) => {
        res.locals.backgroundTasks.add(function patient() {});
        await work(80);
        res.end();
      }),
    );
    await request(port);
    await background.idle();
    expect(background.stats().outcomes).toMatchObject({ completed: 1, 'timed-out': 0 });
  });

  it('leaves no timer behind when the task that follows has ended too: the process ends at once', async () => {
    const { states, timers } = JSON.parse(await runScript('script-timed-out.mjs', '1000'));
    expect(states).toEqual(['timed-out', 'completed']);
    expect(timers).toEqual([]);
  });

  it('leaves no timer behind that would keep the application in memory, though it was not closed', async () => {
    const ours = new Set<number>();
    const hook = createHook({
      init(id, _type, _trigger, timer: { _idleTimeout?: number }) {
        if (timer._idleTimeout === 600_000) ours.add(id);
      },
      destroy: (id) => ours.delete(id),
    }).enable();
    atEnd(() => hook.disable());
    await makeBackground({ timeout: 600_000 }).add(() => expect(ours.size).toBe(1)).settled;
    await untilHolds(() => ours.size === 0);
  });

  it('aborts no signal of a task that has ended', async () => {
    const background = makeBackground({ timeout: 20 });
    let signal: AbortSignal | undefined;
    await background.add(() => {
      signal = currentTask()?.signal;
    }).settled;
    await background.add(work, 10).settled;
    await background.with({ timeout: 1_000 }).add(work, 40).settled;
    expect(signal?.aborted).toBe(false);
  });
});

describe('the option `when`', () => {
  it.each<[number, string[]]>([
    [200, ['always', 'success']],
    [302, ['always', 'success']],
    [399, ['always', 'success']],
    [400, ['always', 'failure']],
    [404, ['always', 'failure']],
    [500, ['always', 'failure']],
  ])('after a response with status %d', async (statusCode, expected) => {
    const background = makeBackground();
    const ran: string[] = [];
    await respond(
      background,
      (list) => {
        for (const when of ['always', 'success', 'failure'] as const) {
          list.with({ when }).add(() => {
            ran.push(when);
          });
        }
      },
      statusCode,
    );
    expect(ran).toEqual(expected);
    expect(background.stats().outcomes.skipped).toBe(1);
  });

  it('may be a function, which is given the end of the response', async () => {
    const background = makeBackground();
    const ends: unknown[] = [];
    const outcomes: Outcome[] = [];
    background.on('settled', (outcome) => outcomes.push(outcome));
    const decide =
      (answer: unknown): When =>
      ({ ended, statusCode, res }) => {
        ends.push({ ended, statusCode, hasEnded: res.writableEnded });
        return answer as boolean;
      };
    await respond(
      background,
      (list) => {
        list.with({ name: 'yes', when: decide(true) }).add(() => {});
        list.with({ name: 'no', when: decide(false) }).add(() => {});
        list.with({ name: 'nothing', when: decide(undefined) }).add(() => {});
      },
      201,
    );
    const end = { ended: 'sent', statusCode: 201, hasEnded: true };
    expect(ends).toEqual([end, end, end]);
    const states = Object.fromEntries(outcomes.map(({ name, state }) => [name, state]));
    expect(states).toEqual({ yes: 'completed', no: 'skipped', nothing: 'skipped' });
    expect(outcomes.every(({ response }) => response?.statusCode === 201)).toBe(true);
  });

  it.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('the hook is broken');
      },
      'the hook is broken',
    ],
    [
      'throws no error',
      () => {
        throw null;
      },
      'null',
    ],
    ['promises an answer', () => Promise.resolve(true), 'when'],
    ['rejects', () => Promise.reject(new Error('the hook is broken')), 'when'],
  ])('fails the task and no other where it %s', async (_what, when, message) => {
    const background = makeBackground();
    let calls = 0;
    const outcomes: Outcome[] = [];
    background.on('settled', (outcome) => outcomes.push(outcome));
    await respond(background, (list) => {
      list.add(() => 'before');
      list.with({ name: 'asked', when: when as When }).add(() => {
        calls += 1;
      });
      list.add(() => 'after');
    });
    expect(calls).toBe(0);
    expect(outcomes.map(({ state }) => state).sort()).toEqual(['completed', 'completed', 'failed']);
    const failed = outcomes.find(({ state }) => state === 'failed') as Outcome;
    expect(failed).toMatchObject({ name: 'asked', attempts: 0, response: { statusCode: 200 } });
    expect(codeOf(failed)).toBe('ERR_BACKGROUND_HOOK');
    expect(failed.error?.message).toContain(message);
  });

  describe.each(['sequential', 'parallel'] as const)('in %s order', (order) => {
    type List = TaskedResponse['locals']['backgroundTasks'];
    const broken = (): never => {
      throw new Error('the hook is broken');
    };

    /** What becomes of each task by its name, and which of them ran. */
    function watch(options: BackgroundTasksOptions): {
      background: BackgroundTasks;
      states: Record<string, Outcome['state']>;
      ran: string[];
      add: (list: List, name: string, when?: When) => void;
    } {
      const background = makeBackground({ ...options, order });
      const states: Record<string, Outcome['state']> = {};
      const ran: string[] = [];
      background.on('settled', ({ name, state }) => {
        states[name] = state;
      });
      const add = (list: List, name: string, when?: When): void => {
        list.with({ name, when }).add(() => ran.push(name));
      };
      return { background, states, ran, add };
    }

    it.each<[string, Outcome['state'], (add: () => void) => { when: When; onError?: () => void }]>([
      ['`when` that says yes', 'completed', (add) => ({ when: () => [add()].length > 0 })],
      ['`when` that says no', 'skipped', (add) => ({ when: () => [add()].length === 0 })],
      ['`onError`', 'failed', (add) => ({ when: broken, onError: add })],
    ])('is called for every task before any starts, though %s adds another', async (_who, state, arrange) => {
      let addAnother = (): void => {};
      const { when, ...options } = arrange(() => addAnother());
      const { background, states, ran, add } = watch(options);
      await respond(background, (list) => {
        addAnother = () => add(list, 'another');
        add(list, 'first', when);
        add(list, 'second', 'failure');
      });
      expect(states).toEqual({ first: state, second: 'skipped', another: 'completed' });
      expect(ran).toEqual(state === 'completed' ? ['first', 'another'] : ['another']);
    });

    it('is called for every task before any starts, though a listener of `settled` adds another', async () => {
      const { background, states, ran, add } = watch({});
      await respond(background, (list) => {
        background.on('settled', ({ name }) => {
          if (name === 'first') add(list, 'another');
        });
        add(list, 'first', 'failure');
        add(list, 'second', 'failure');
      });
      expect(states).toEqual({ first: 'skipped', second: 'skipped', another: 'completed' });
      expect(ran).toEqual(['another']);
    });

    it('keeps a task that is added late from running, though it adds another when it is called', async () => {
      const { background, states, ran, add } = watch({});
      let list: List | undefined;
      await respond(background, (tasks) => {
        list = tasks;
        add(tasks, 'early');
      });
      const late = list as List;
      add(late, 'late', () => [add(late, 'another')].length === 0);
      await background.idle();
      expect(states).toEqual({ early: 'completed', late: 'skipped', another: 'completed' });
      expect(ran).toEqual(['early', 'another']);
    });
  });

  it('is not called for a task without a response', async () => {
    const background = makeBackground({ when: 'failure' });
    const when = jest.fn(() => false);
    expect((await background.add(() => 'ran').settled).value).toBe('ran');
    expect((await background.with({ when }).add(() => 'ran').settled).value).toBe('ran');
    expect(when).not.toHaveBeenCalled();
  });

  it('keeps blocking tasks from running as well', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    const tasks = blocking<ThreadTasks>(moduleUrl, { when: 'failure' });
    await respond(background, (list) => list.add(tasks.add, 1, 2));
    expect(background.stats()).toMatchObject({ outcomes: { skipped: 1 }, executors: { thread: { threads: 0 } } });
  });
});
