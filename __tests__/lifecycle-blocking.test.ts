/** The lifecycle contract, row by row, for tasks that run in threads, under each framework. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { BackgroundTaskError, blocking, type TaskHandle } from 'express-background-tasks';
import { request } from './support/clients.ts';
import { fixture } from './support/fixtures.ts';
import { makeGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { SENT, thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { frameworks, serve } from './support/servers.ts';
import { shareThread } from './support/shared-thread.ts';
import { threads } from './support/worker-kinds.ts';

expectNoProcessFaults();

const { tasks, aware } = threads;
const { storage } = blocking<{ storage: () => void }>(fixture('thread-errors.mjs'));

describe.each(frameworks)('under $name', (framework) => {
  const log = openLogBook();
  const oneThread = shareThread({ logger: log.logger });
  beforeEach(() => log.clear());

  it('arguments that cannot be cloned are refused in the handler, and the tasks before and after run', async () => {
    const background = oneThread();
    const { added } = background.stats();
    const refused = makeGate<{ refusal: Error; size: number }>();
    const handles: TaskHandle[] = [];
    const port = await serve(
      framework.listener([background], (_req, res) => {
        const list = res.locals.backgroundTasks;
        handles.push(list.add(tasks.add, 1, 1));
        const refusal = thrownBy(() => list.with({ name: 'notify' }).add(tasks.add, 1, (() => 1) as never));
        refused.open({ refusal, size: list.size });
        handles.push(list.add(tasks.add, 2, 2));
        res.end('taken');
      }),
    );
    expect(await request(port)).toMatchObject({ status: 200, body: 'taken' });
    const { refusal, size } = await refused.opened;
    expect(refusal).toBeInstanceOf(BackgroundTaskError);
    expect(refusal).toMatchObject({ code: 'ERR_BACKGROUND_NOT_CLONEABLE' });
    expect(refusal.message).toMatch(/^Expected argument 1 of task notify to be cloneable to a thread or process/);
    expect(size).toBe(1);
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes).toMatchObject([2, 4].map((value) => ({ state: 'completed', value, response: SENT })));
    expect(background.stats().added - added).toBe(2);
  });

  it('a result that cannot be cloned is lost with one warning: the task is completed, and its thread lives', async () => {
    const background = oneThread();
    const handles: TaskHandle[] = [];
    const port = await serve(
      framework.listener([background], (_req, res) => {
        const list = res.locals.backgroundTasks;
        handles.push(list.add(tasks.whereAmI));
        handles.push(list.with({ name: 'closure' }).add(tasks.returnFunction));
        handles.push(list.add(tasks.whereAmI));
        res.end('taken');
      }),
    );
    expect(await request(port)).toMatchObject({ status: 200, body: 'taken' });
    await background.idle();
    const [before, lost, after] = await Promise.all(handles.map(({ settled }) => settled));
    expect(lost).toMatchObject({ state: 'completed', attempts: 1, value: undefined, response: SENT });
    expect(after).toMatchObject({ state: 'completed', value: before?.value, response: SENT });
    expect(log.lines.filter(({ level }) => level !== 'debug')).toMatchObject([
      { level: 'warn', task: 'closure', code: 'ERR_BACKGROUND_RESULT_NOT_CLONEABLE' },
    ]);
  });

  it('a task that fails, one that times out and one that is tried again settle in order, each as what it is', async () => {
    const background = oneThread();
    const told: string[] = [];
    for (const event of ['started', 'retrying', 'settled'] as const) {
      background.on(event, ({ name }) => told.push(`${event} ${name}`));
    }
    const handles: TaskHandle[] = [];
    const port = await serve(
      framework.listener([background], (_req, res) => {
        const list = res.locals.backgroundTasks;
        handles.push(list.with({ name: 'failing' }).add(storage));
        handles.push(list.with({ name: 'endless', timeout: 50 }).add(tasks.loopForEver));
        const retry = { attempts: 3, delay: 0 };
        handles.push(list.with({ name: 'flaky', retry }).add(aware.failUntil, 2, Uint8Array.of(1, 2)));
        handles.push(list.with({ name: 'last' }).add(tasks.add, 1, 1));
        res.end('taken');
      }),
    );
    expect(await request(port)).toMatchObject({ status: 200, body: 'taken' });
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    const facts = { executor: 'thread', response: SENT };
    expect(outcomes).toMatchObject([
      { ...facts, state: 'failed', attempts: 1, error: { name: 'StorageError', code: 'ETIMEDOUT' } },
      { ...facts, state: 'timed-out', attempts: 1, error: { code: 'ERR_BACKGROUND_TIMEOUT' } },
      { ...facts, state: 'completed', attempts: 2, value: [1, 2] },
      { ...facts, state: 'completed', attempts: 1, value: 2 },
    ]);
    expect(told).toEqual([
      ...['started failing', 'settled failing', 'started endless', 'settled endless'],
      ...['started flaky', 'retrying flaky', 'started flaky', 'settled flaky', 'started last', 'settled last'],
    ]);
  });
});
