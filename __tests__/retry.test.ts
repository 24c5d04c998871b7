/** How often and when a failed task is tried again, and what holds while it waits. */
import { describe, expect, it, jest } from '@jest/globals';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  blocking,
  currentTask,
  type TaskOptions,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { delaysOf, fail } from './support/failures.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { codeOf } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';

expectNoProcessFaults();

const moduleUrl = fixture('thread-tasks.mjs');
type ThreadTasks = typeof import('./fixtures/thread-tasks.mjs');

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

  it('tells how long the task waited for its first start, whichever attempt it is about', async () => {
    const background = makeBackground({ retry: { attempts: 2, delay: 20, jitter: 0 } });
    const waited: number[] = [];
    background.on('started', ({ waitedMs }) => waited.push(waitedMs));
    let startedAt: number | undefined;
    const addedAt = performance.now();
    const { waitedMs } = await background.add(() => {
      startedAt ??= performance.now();
      fail();
    }).settled;
    expect(waitedMs).toBeLessThanOrEqual((startedAt as number) - addedAt);
    expect(waited).toEqual([waitedMs, waitedMs]);
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
