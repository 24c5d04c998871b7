/** What becomes of durable tasks, and of the engine, when the instance is closed. */
import { describe, expect, it } from '@jest/globals';
import type { BackgroundTaskError, TaskHandle } from 'express-background-tasks';
import { durableApp, localTasks, tasks } from './support/durable-app.ts';
import { FAILED_CALL, NO_ANSWER } from './support/engine-faults.ts';
import { makeGate } from './support/gates.ts';
import { codeOf, thrownBy } from './support/outcomes.ts';

describe('when the instance is closed', () => {
  it('a task whose response is under way is named as abandoned, and runs elsewhere when its hold is over', async () => {
    const added = makeGate<TaskHandle>();
    const app = await durableApp(
      async (_req, res) => {
        const handle = res.locals.backgroundTasks.add(localTasks.echo, 'order 7');
        await handle.accepted;
        added.open(handle);
      },
      { durable: { hold: 1_000, acceptTimeout: 500 } },
    );
    app.request().catch(() => {});
    const { id } = await added.opened;
    const { abandoned } = await app.background.close({ timeout: 0 });
    expect(abandoned).toMatchObject([{ id, name: 'local.echo', executor: 'engine', arguments: ["'order 7'"] }]);
    expect(abandoned[0]?.error?.message).toMatch(
      /ran out of time\. If the engine has it, it runs when its hold is over\.$/,
    );
    expect(app.calls('discard')).toEqual([]);
    await durableApp(() => {}, { engine: app.engine, work: true });
    expect(await app.until(id, 'completed')).toMatchObject({ value: ['order 7'] });
  });

  it('a task that the engine was not asked to take yet is said to run when its hold is over, where it would have one', async () => {
    const added = makeGate();
    const app = await durableApp(
      (_req, res) => {
        res.locals.backgroundTasks.add(tasks.echo);
        added.open();
      },
      { faults: { start: NO_ANSWER } },
    );
    app.request().catch(() => {});
    await added.opened;
    app.background.add(tasks.echo);
    const { abandoned } = await app.background.close({ timeout: 0 });
    expect(abandoned.map(({ error }) => error?.message)).toEqual([
      expect.stringMatching(/ran out of time\. If the engine has it, it runs when its hold is over\.$/),
      expect.stringMatching(/ran out of time\. If the engine has it, it runs\.$/),
    ]);
  });

  it('adds no more, and does not wait for an engine that gives no answer; a task without a hold is not said to have one', async () => {
    const app = await durableApp(() => {}, { faults: { stage: NO_ANSWER, close: NO_ANSWER } });
    const { settled } = app.background.add(tasks.echo);
    const { abandoned } = await app.background.close({ timeout: 50 });
    expect(abandoned).toHaveLength(1);
    expect(abandoned[0]?.error?.message).toMatch(/ran out of time\. If the engine has it, it runs\.$/);
    expect(codeOf(await settled)).toBe('ERR_BACKGROUND_ABANDONED');
    expect(thrownBy(() => app.background.add(tasks.echo)).code).toBe('ERR_BACKGROUND_CLOSED');
  });

  it('does not wait for an engine that is down, and logs nothing about it', async () => {
    const app = await durableApp(() => {}, { faults: { start: FAILED_CALL }, work: true });
    const ready = app.background.ready();
    await app.background.close();
    await expect(ready).rejects.toMatchObject({ code: 'ERR_BACKGROUND_CLOSED' });
    expect(app.log.withCode('ERR_BACKGROUND_CLOSED')).toEqual([]);
  });

  it('what its engine is asked after that is refused at once, though the engine was never up', async () => {
    const { background } = await durableApp(() => {}, { faults: { start: FAILED_CALL } });
    await background.close();
    const refused = background.engineStats().catch((error: BackgroundTaskError) => error.code);
    const turned = new Promise((resolve) => setImmediate(resolve, 'still asking'));
    expect(await Promise.race([refused, turned])).toBe('ERR_BACKGROUND_ENGINE');
  });

  it.each([
    ['an error', new Error('connection lost'), 'connection lost'],
    ['nothing', undefined, 'Expected an Error to be thrown, got undefined.'],
  ])(
    'the log says once that the engine could not stop fetching, with %s as the reason',
    async (_what, reason, said) => {
      const stop = () => Promise.reject(reason);
      const app = await durableApp(() => {}, { faults: { work: async () => ({ stop }) }, work: true });
      await app.background.ready();
      await app.background.close();
      expect(app.log.lines.map(({ message }) => message)).toEqual([`The engine memory: ${said}`]);
    },
  );
});
