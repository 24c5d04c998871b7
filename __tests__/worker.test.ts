/** What a worker does with the tasks that it fetches, wherever they run, and what it keeps of their results. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TaskHandle, TaskWorker } from 'express-background-tasks';
import { request } from './support/clients.ts';
import { localTasks, tasks } from './support/durable-app.ts';
import { makeGate } from './support/gates.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { checked, isolated } from './support/registered-tasks.ts';
import { serve, type TaskedResponse } from './support/servers.ts';
import { stage } from './support/worker-envelopes.ts';
import { openSetting } from './support/worker-setting.ts';

expectNoProcessFaults();

describe('a worker', () => {
  let worker: TaskWorker;
  let on: ReturnType<typeof openSetting>;
  // Shared by the tests below: most of the time goes into starting the first thread and the first process.
  beforeAll(async () => {
    on = openSetting({ context: () => ({ from: 'web' }) });
    worker = await on.work({ concurrency: 8 });
  });
  afterAll(() => on.close());

  it('names the tasks that it runs', () => {
    expect(worker.tasks).toEqual(expect.arrayContaining(['tasks.echo', 'local.echo', 'isolated.fail', 'checked.echo']));
    expect(worker.tasks.every((name) => /^(tasks|local|isolated|checked)\.\w+$/.test(name))).toBe(true);
  });

  it.each([
    ['a thread', tasks],
    ['a process', isolated],
    ['its event loop', localTasks],
  ])('runs tasks in %s, which know what they are', async (_name, module) => {
    const handle = on.web.add(module.describeItself);
    expect((await on.until(handle, 'completed')).value).toEqual({
      id: handle.id,
      name: handle.name,
      attempt: 1,
    });
  });

  it.each([
    ['a thread', tasks],
    ['a process', isolated],
    ['its event loop', localTasks],
  ])('tries a task in %s again by the policy it was added with, and counts the attempts', async (_name, module) => {
    const thirdTime = on.web.with({ retry: { attempts: 3 } }).add(module.failUntilAttempt, 3);
    expect(await on.until(thirdTime, 'completed')).toMatchObject({ attempts: 3, value: 3 });
    const never = on.web.with({ retry: { attempts: 2 } }).add(module.fail, 'no such order', 'ENOENT');
    expect(await on.until(never, 'failed')).toMatchObject({
      attempts: 2,
      error: {
        name: 'RangeError',
        message: 'no such order',
        code: 'ENOENT',
        stack: expect.stringContaining('durable-tasks.cjs'),
      },
    });
  });

  it.each([
    ['a thread', tasks],
    ['a process', isolated],
  ])('ends a task in %s that takes longer than the timeout it was added with', async (_name, module) => {
    const endless = on.web.with({ timeout: 20, retry: { attempts: 1 } }).add(module.spinForEver);
    expect(await on.until(endless, 'failed')).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_TIMEOUT' } });
  });

  it('gives a task the context of its request', async () => {
    const added = makeGate<TaskHandle>();
    const port = await serve((req, res) => {
      on.web(req, res, () => {
        added.open((res as TaskedResponse).locals.backgroundTasks.add(tasks.describeItself));
        res.end();
      });
    });
    await request(port);
    expect((await on.until(await added.opened, 'completed')).value).toMatchObject({ context: { from: 'web' } });
  });

  it('checks arguments by `parse`, and runs the task with what that returns', async () => {
    expect((await on.until(on.web.add(checked.echo, 1), 'completed')).value).toEqual([2]);
    const refused = await on.until(on.web.add(checked.echo, 'one'), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } });
    expect(refused.error?.message).toContain('expected a number, got one');
    expect(on.log.withCode('ERR_BACKGROUND_ARGUMENTS')).toMatchObject([{ level: 'error', task: 'checked.echo' }]);
  });

  it('refuses a promise from `parse`, and is not harmed if it rejects', async () => {
    const refused = await on.until(on.web.add(checked.describeItself), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } });
    expect(refused.error?.message).toBe(
      'Expected the arguments of task checked.describeItself to pass `parse`: it returned a promise instead of an array',
    );
  });

  it('asks `retryIf` of the registry', async () => {
    const [once, often] = [on.web.add(checked.fail, 'no', 'ENOENT'), on.web.add(checked.fail, 'no', 'EAGAIN')];
    expect(await on.until(once, 'failed')).toMatchObject({ attempts: 1 });
    expect(await on.until(often, 'failed')).toMatchObject({ attempts: 3 });
  });

  it('refuses arguments that are no list', async () => {
    const refused = await on.until(await stage(on.engine, { args: { length: 1, card: '4111 1111' } }), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ARGUMENTS' } });
    expect(refused.error?.message).toBe('Expected the arguments of task tasks.echo to be an array, got an object.');
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'soon'],
    ['below 1', -5],
    ['longer than timers can be set for', 1e12],
    ['what no number can be made of', { valueOf: 1, toString: 1 }],
  ])('refuses a timeout that no task can have, and runs the next task: %s', async (_what, timeout) => {
    const refused = await on.until(await stage(on.engine, { timeout }), 'failed');
    expect(refused).toMatchObject({ attempts: 1, error: { code: 'ERR_BACKGROUND_ENGINE' } });
    expect(refused.error?.message).toMatch(
      /^Expected the timeout of task tasks\.echo in the engine to be a number of milliseconds from 1 to 2147483647, or Infinity, got /,
    );
    expect((await on.until(on.web.add(tasks.echo, 'next'), 'completed')).value).toEqual(['next']);
  });

  it('keeps what a task returns where it is JSON, and no larger than it may be', async () => {
    expect((await on.until(on.web.add(localTasks.echo, 'x'.repeat(60_000)), 'completed')).value).toHaveLength(1);
    expect((await on.until(on.web.add(localTasks.echo, 'x'.repeat(70_000)), 'completed')).value).toBeUndefined();
  });

  it('keeps a code that is a number as a string', async () => {
    const unavailable = on.web.add(checked.fail, '14 UNAVAILABLE', 14);
    expect((await on.until(unavailable, 'failed')).error).toMatchObject({ code: '14' });
  });

  it('keeps the beginnings of a message and a stack that are too long', async () => {
    const message = 'x'.repeat(100_000);
    const { error } = await on.until(on.web.add(checked.fail, message), 'failed');
    expect(error).toMatchObject({ name: 'RangeError', message: `${'x'.repeat(16 * 1_024 - 1)}…` });
    // Of the message no more than half of what there is room for, and then where the error came from.
    expect(error?.stack).toMatch(/^RangeError: x{8191}…\n +at \S*exports\.fail /);
    expect(error?.stack?.length).toBeLessThanOrEqual(16 * 1_024);
    const refused = await on.until(on.web.add(checked.echo, message), 'failed');
    expect(refused.error?.message).toHaveLength(16 * 1_024);
  });

  it('counts the work as its own, under the ids that the tasks were added with', async () => {
    const settled = new Promise((resolve) =>
      worker.on('settled', (outcome) => outcome.name === 'local.echo' && resolve(outcome)),
    );
    const before = worker.stats().settled;
    const { id } = on.web.add(localTasks.echo, 1);
    expect(await settled).toMatchObject({ id, state: 'completed', executor: 'event-loop', value: [1] });
    expect(worker.stats().settled).toBeGreaterThan(before);
  });

  it('is what `on` and `off` return, so that calls can be chained', () => {
    const listener = (): void => {};
    expect(worker.on('started', listener).off('started', listener)).toBe(worker);
  });
});
