/** What a worker that closes does with the tasks that it has. */
import { describe, expect, it } from '@jest/globals';
import { localTasks } from './support/durable-app.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { setting } from './support/worker-setting.ts';

expectNoProcessFaults();

describe('`close`', () => {
  it('waits for what runs, and fetches no more', async () => {
    const { web, work, until: untilState } = setting();
    const worker = await work({ concurrency: 1 });
    const first = web.with({ retry: { attempts: 1 } }).add(localTasks.untilAborted);
    const second = web.add(localTasks.echo, 2);
    await untilState(first, 'running');
    const closing = worker.close({ timeout: 100 });
    const { abandoned } = await closing;
    expect(abandoned.map(({ id }) => id)).toEqual([first.id]);
    expect(abandoned[0]?.error?.message).toMatch(/It was given back to the engine, and runs elsewhere\.$/);
    // Given back: no attempt was counted, and the next worker has it at once.
    expect(await web.find(first.id)).toMatchObject({ state: 'waiting', attempts: 0 });
    expect(await web.find(second.id)).toMatchObject({ state: 'waiting', attempts: 0 });
    await work({ concurrency: 2 });
    await untilState(second, 'completed');
    await untilState(first, 'running');
  });
});

describe('an attempt that the engine makes again', () => {
  it('is not counted by `close`: the task has not failed', async () => {
    const { web, work } = setting();
    const worker = await work();
    const started = new Promise<void>((resolve) => worker.on('started', () => resolve()));
    web.with({ timeout: 20, retry: { attempts: 2 } }).add(localTasks.untilAborted);
    await started;
    expect(await worker.close()).toEqual({ completed: 0, failed: 0, abandoned: [] });
  });
});
