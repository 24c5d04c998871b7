/** Durable tasks in tests of an application: `mode`, and watchTasks(). */
import { describe, expect, it } from '@jest/globals';
import { backgroundTasks } from 'express-background-tasks';
import { watchTasks } from 'express-background-tasks/testing';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { makeBackground } from './support/cleanup.ts';
import { durableApp, localTasks, tasks } from './support/durable-app.ts';
import { openLogBook } from './support/log-book.ts';
import { thrownBy } from './support/outcomes.ts';

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
