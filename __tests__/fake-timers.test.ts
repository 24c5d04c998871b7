/** A test of an application may exchange the timers for fake ones while tasks are under way. */
import { describe, expect, it, jest } from '@jest/globals';
import { backgroundTasks, durable, type TaskHandle } from 'express-background-tasks';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import type * as durableTasks from './fixtures/durable-tasks.cjs';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate, makeWorkerGate, makeWorkerGates } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { inRequest } from './support/servers.ts';
import { processes, threads } from './support/worker-kinds.ts';

type Looping = TaskHandle<never>;

expectNoProcessFaults();

describe('when a test has exchanged the timers for fake ones', () => {
  it('tasks in threads end all the same, then and afterwards', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    // Enough that `add` checks whether the thread takes more.
    const addMany = () => Array.from({ length: 80 }, () => background.add(threads.tasks.nothing).settled);
    await Promise.all(addMany());
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    const meanwhile = addMany();
    expect((await Promise.all(meanwhile)).map(({ state }) => state)).toEqual(meanwhile.map(() => 'completed'));
    jest.useRealTimers();
    const afterwards = addMany();
    expect((await Promise.all(afterwards)).map(({ state }) => state)).toEqual(afterwards.map(() => 'completed'));
  });

  it.each([threads, processes])(
    'a cancelled $executor that ignores its signal is ended, and close() comes to its end',
    async (kind) => {
      const background = kind.open(2);
      const gates = await makeWorkerGates(2);
      const [cancelled, left] = gates.map(({ port }) => background.add(kind.tasks.loopForEver, port)) as [
        Looping,
        Looping,
      ];
      for (const gate of gates) await gate.entered();
      atEnd(() => jest.useRealTimers());
      jest.useFakeTimers();
      cancelled.cancel();
      expect(await cancelled.settled).toMatchObject({ state: 'cancelled' });
      const closing = background.close({ timeout: 100 });
      expect(await closing).toMatchObject({ abandoned: [{ id: left.id }] });
    },
  );

  it('a time limit passes afterwards, though one of its length was set meanwhile', async () => {
    const background = makeBackground();
    const limited = background.with({ timeout: 50 });
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    await limited.add(async () => {}).settled;
    jest.useRealTimers();
    expect(await limited.add(() => new Promise(() => {})).settled).toMatchObject({ state: 'timed-out' });
  });

  it('a task that is cancelled between two attempts is not tried again, though the fake ones do not clear a real timer', async () => {
    const delay = 1;
    const background = makeBackground({ logger: false, retry: { attempts: 2, delay, jitter: 0 } });
    let attempts = 0;
    const failing = background.add(() => {
      attempts += 1;
      throw new Error('not yet');
    });
    // As those of node:test do it.
    const clearing = jest.spyOn(globalThis, 'clearTimeout').mockImplementation(() => {});
    atEnd(() => clearing.mockRestore());
    failing.cancel();
    clearing.mockRestore();
    expect((await failing.settled).state).toBe('cancelled');
    // Timers of one duration fire in the order in which they were set.
    await new Promise((resolve) => setTimeout(resolve, delay));
    expect(attempts).toBe(1);
    expect(background.stats()).toMatchObject({ added: 1, settled: 1, waiting: 0, running: 0, retrying: 0 });
  });

  it('the threads are busy for no more than all of their time', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    await background.add(threads.tasks.nothing).settled;
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    const gate = await makeWorkerGate();
    background.add(threads.tasks.hold, gate.port);
    await gate.entered();
    jest.advanceTimersByTime(3_600_000);
    const { utilization } = background.stats().executors.thread;
    gate.open();
    expect(utilization).toBeGreaterThan(0);
    expect(utilization).toBeLessThanOrEqual(1);
  });

  it('close() stops the watchdog with the real ones: not all fake ones clear a real timer', async () => {
    const background = makeBackground({ watchdog: { threshold: 10_000 } });
    await background.add(() => {}).settled;
    const clearInterval = jest.spyOn(globalThis, 'clearInterval').mockReturnValue(undefined);
    atEnd(() => clearInterval.mockRestore());
    await background.close();
    expect(clearInterval).not.toHaveBeenCalled();
  });

  it('a first task that is added after the response has ended starts all the same', async () => {
    const background = makeBackground();
    const tasks = await inRequest(background, (list) => list);
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    expect(await tasks.add(() => 'late').settled).toMatchObject({ value: 'late' });
  });

  it('the engine in memory takes a durable task, and it runs', async () => {
    const tasks = durable<typeof durableTasks>('fake-timers', fixture('durable-tasks.cjs'), { executor: 'event-loop' });
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    const background = backgroundTasks({ engine: memoryEngine(), work: true, logger: false });
    atEnd(() => background.close());
    await background.ready();
    const ran = makeGate<unknown>();
    background.on('settled', ({ value }) => value !== undefined && ran.open(value));
    await background.add(tasks.echo, 'ran').accepted;
    expect(await ran.opened).toEqual(['ran']);
  });

  it('close() comes to its end though its engine never does', async () => {
    const engine = memoryEngine({
      intercept: (method, proceed) => (method === 'close' ? new Promise(() => {}) : proceed()),
    });
    const { logger, lines } = openLogBook();
    const background = backgroundTasks({ engine, logger });
    await background.ready();
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    await background.close({ timeout: 0 });
    expect(lines.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^The engine memory: It could not be closed: no answer within \d+ ms$/),
    ]);
  });

  describe('before it loaded the package', () => {
    /** What is loaded while the timers are fake. */
    async function loadUnderFakeTimers<Loaded>(load: () => Promise<Loaded>): Promise<Loaded> {
      const loaded = makeGate<Loaded>();
      atEnd(() => jest.useRealTimers());
      jest.useFakeTimers();
      await jest.isolateModulesAsync(async () => loaded.open(await load()));
      return loaded.opened;
    }

    it('close() comes to its end afterwards', async () => {
      const fresh = await loadUnderFakeTimers(() => import('express-background-tasks'));
      jest.useRealTimers();
      const background = fresh.backgroundTasks({ logger: false });
      background.add(() => new Promise(() => {}));
      expect(await background.close({ timeout: 100 })).toMatchObject({ abandoned: [{ state: 'abandoned' }] });
    });

    it('tasks in threads end, then and afterwards, and tell afterwards how long they waited', async () => {
      const fresh = await loadUnderFakeTimers(() => import('express-background-tasks'));
      const background = fresh.backgroundTasks({ logger: false, pool: { maxThreads: 1 } });
      atEnd(() => background.close());
      const addMany = () => Array.from({ length: 80 }, () => background.add(threads.tasks.nothing).settled);
      await Promise.all(addMany());
      jest.useRealTimers();
      const since = performance.now();
      const outcomes = await Promise.all(addMany());
      const longest = performance.now() - since;
      for (const { state, waitedMs } of outcomes) {
        expect(state).toBe('completed');
        expect(waitedMs).toBeGreaterThanOrEqual(0);
        expect(waitedMs).toBeLessThanOrEqual(longest);
      }
    });

    it('the engine in memory starts', async () => {
      const [fresh, engines] = await loadUnderFakeTimers(() =>
        Promise.all([import('express-background-tasks'), import('express-background-tasks/testing/engine')]),
      );
      const background = fresh.backgroundTasks({ engine: engines.memoryEngine(), logger: false });
      atEnd(() => background.close());
      await background.ready();
    });
  });

  it('time limits and the delays of retry follow the fake clock', async () => {
    const background = makeBackground();
    atEnd(() => jest.useRealTimers());
    jest.useFakeTimers();
    const endless = background.with({ timeout: 20_000 }).add(() => new Promise(() => {}));
    const fail = jest.fn(async () => {
      throw new Error('not today');
    });
    const failing = background.with({ retry: { attempts: 2, delay: 20_000, jitter: 0 } }).add(fail);
    await jest.advanceTimersByTimeAsync(19_000);
    expect([endless.state, failing.state, fail.mock.calls.length]).toEqual(['running', 'retrying', 1]);
    await jest.advanceTimersByTimeAsync(1_000);
    expect([endless.state, failing.state, fail.mock.calls.length]).toEqual(['timed-out', 'failed', 2]);
  });
});
