/** What durable tasks leave in memory when they have gone to an engine, or could not. */
import { describe, expect, it } from '@jest/globals';
import { backgroundTasks } from 'express-background-tasks';
import { watchTasks } from 'express-background-tasks/testing';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { durableApp, tasks } from './support/durable-app.ts';
import { NO_ANSWER } from './support/engine-faults.ts';
import { leftByQuickCollections, untilCollected } from './support/garbage.ts';
import { untilHolds } from './support/time.ts';

describe('`accepted`', () => {
  it('that has rejected keeps nothing of its task in memory, though the engine is still not up', async () => {
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
