/** The time limit of a task on the event loop: what it ends, and what it leaves behind. */
import { createHook } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { currentTask, type Outcome } from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { fail } from './support/failures.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { codeOf } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { runScript } from './support/scripts.ts';
import { bareHttp, serve } from './support/servers.ts';
import { untilHolds, work } from './support/time.ts';

expectNoProcessFaults();

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
    await untilHolds(() => timeouts.size < 100);
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
