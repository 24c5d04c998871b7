/** Options of a task, on three levels: the nearest wins. */
import { describe, expect, it } from '@jest/globals';
import { type BackgroundTasks, blocking, defineTask, type Outcome, type TaskOptions } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { delaysOf, fail } from './support/failures.ts';
import { fixture } from './support/fixtures.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { inRequest } from './support/servers.ts';
import { work } from './support/time.ts';

expectNoProcessFaults();

const moduleUrl = fixture('thread-tasks.mjs');
type ThreadTasks = typeof import('./fixtures/thread-tasks.mjs');

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

  it('retry: each field that the nearer levels leave out is that of the middleware', async () => {
    const retry = { attempts: 4, delay: 500, factor: 100, maxDelay: 10, jitter: 0 };
    const asked: unknown[] = [];
    const retryIf = ({ message }: Error): boolean => asked.push(message) < 4;
    const background = makeBackground({ retry: { ...retry, retryIf } });
    const delays = delaysOf(background);
    const task = defineTask(fail, { retry: { delay: 2 } });
    const outcome = await background.with({ retry: { factor: 3 } }).add(task).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 4 });
    expect(delays).toEqual([2, 6, 10]);
    expect(asked).toEqual(['it failed', 'it failed', 'it failed']);
  });

  it('when: each level may decide', async () => {
    const background = makeBackground({ when: 'failure' });
    const ran: string[] = [];
    const run = (name: string): void => {
      ran.push(name);
    };
    const ownSuccess = defineTask(run, { when: 'success' });
    await inRequest(background, (list) => {
      list.add(run, 'the middleware says failure');
      list.add(ownSuccess, 'the task says success');
      list.with({ when: 'always' }).add(run, 'with says always');
      list.with({ when: 'failure' }).add(ownSuccess, 'with says failure');
    });
    await background.idle();
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
