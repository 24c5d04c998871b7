/** How far a durable task can be cancelled: as long as the engine has not been told to run it. */
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { durableApp, tasks } from './support/durable-app.ts';
import { makeGate } from './support/gates.ts';
import { untilHolds } from './support/time.ts';

describe('a task that is cancelled', () => {
  it('before it is released, is withdrawn', async () => {
    const app = await durableApp(async (_req, res) => {
      const handle = res.locals.backgroundTasks.add(tasks.echo);
      await handle.accepted;
      expect(handle.cancel('no longer wanted')).toBe(true);
      res.end(handle.id);
    });
    const { body: id } = await app.request();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[id]]]);
    expect(app.background.stats().executors.engine.outcomes).toMatchObject({ cancelled: 1 });
  });

  it('while the engine is asked to accept it, is withdrawn when the answer comes, and not released', async () => {
    const mayAnswer = makeGate();
    let added!: TaskHandle;
    const app = await durableApp(
      async (_req, res) => {
        added = res.locals.backgroundTasks.add(tasks.echo);
        await untilHolds(() => app.calls('stage').length > 0);
        res.end();
      },
      { faults: { stage: (proceed) => mayAnswer.opened.then(proceed) } },
    );
    await app.request();
    await untilHolds(() => added.state !== 'waiting');
    expect(added.cancel()).toBe(true);
    mayAnswer.open();
    await app.background.close();
    expect([app.calls('release'), app.calls('discard')]).toEqual([[], [[added.id]]]);
    expect(await app.find(added.id)).toBeUndefined();
  });

  it('before the engine could be asked to take it, never runs', async () => {
    const mayStart = makeGate();
    const app = await durableApp(() => {}, { faults: { start: (proceed) => mayStart.opened.then(proceed) } });
    const handle = app.background.add(tasks.echo);
    expect(handle.cancel()).toBe(true);
    mayStart.open();
    await handle.accepted;
    await app.background.close();
    expect(await app.find(handle.id)).toBeUndefined();
    expect(app.log.withCode('ERR_BACKGROUND_NOT_DISCARDED')).toEqual([]);
  });

  it('after that is not cancelled: the engine has it', async () => {
    const app = await durableApp(() => {});
    const handle = app.background.add(tasks.echo);
    await handle.settled;
    expect(handle.cancel()).toBe(false);
  });
});
