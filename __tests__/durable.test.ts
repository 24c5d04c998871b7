/** The way of a durable task: staged when it is added, held while the response is under way, and released or discarded when that has ended. */
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { durableApp, localTasks, tasks } from './support/durable-app.ts';
import { makeGate } from './support/gates.ts';
import { frameworks } from './support/servers.ts';
import { untilHolds } from './support/time.ts';

describe.each(frameworks)('a durable task under $name', (framework) => {
  it('is staged when it is added, held while the response is under way, and released when it has ended', async () => {
    let added!: TaskHandle;
    const mayEnd = makeGate();
    const app = await durableApp(
      async (_req, res) => {
        added = res.locals.backgroundTasks.add(localTasks.echo, 'ada', 7);
        await added.accepted;
        await mayEnd.opened;
        res.end();
      },
      { framework, work: true },
    );
    const answered = app.request();
    const held = await app.until((await accepted(() => added)).id, 'held');
    expect(held).toEqual({ id: added.id, name: 'local.echo', state: 'held', attempts: 0 });
    expect(added.state).toBe('waiting');
    mayEnd.open();
    expect((await answered).status).toBe(200);
    expect(await added.settled).toMatchObject({ state: 'completed', executor: 'engine', value: undefined });
    expect(await app.until(added.id, 'completed')).toMatchObject({ attempts: 1, value: ['ada', 7] });
  });

  it('is discarded when `when` says so, and never runs', async () => {
    const app = await durableApp(
      async (_req, res) => {
        const handle = res.locals.backgroundTasks.with({ when: 'success' }).add(tasks.echo);
        await handle.accepted;
        res.statusCode = 500;
        res.end(handle.id);
      },
      { framework, work: true },
    );
    const { body: id } = await app.request();
    await app.background.idle();
    await app.background.close();
    expect([app.calls('stage'), app.calls('release'), app.calls('discard')]).toEqual([[[id]], [], [[id]]]);
    expect(app.background.stats().executors.engine.outcomes).toMatchObject({ skipped: 1, completed: 0 });
  });
});

/** The handle, as soon as there is one and the engine has its task. */
async function accepted(handle: () => TaskHandle | undefined): Promise<TaskHandle> {
  await untilHolds(() => handle() !== undefined);
  const present = handle() as TaskHandle;
  await present.accepted;
  return present;
}

describe('a task whose response ends before it was staged', () => {
  it('needs no hold, and no release', async () => {
    const app = await durableApp((_req, res) => res.end(res.locals.backgroundTasks.add(tasks.echo).id));
    const { body: id } = await app.request();
    await app.background.idle();
    expect([app.calls('stage'), app.calls('release')]).toEqual([[[id]], []]);
    expect(await app.until(id, 'waiting')).toMatchObject({ attempts: 0 });
  });
});

describe('a task that is added outside a response, or after it', () => {
  it('is not held', async () => {
    const app = await durableApp(() => {}, { work: true });
    const { id, settled } = app.background.add(localTasks.describeItself);
    expect((await app.until(id, 'completed')).value).toEqual({ id, name: 'local.describeItself', attempt: 1 });
    expect(await settled).toMatchObject({ state: 'completed' });
    expect(app.calls('release')).toEqual([]);
  });

  it('is released at once where the response has ended', async () => {
    const late = makeGate<TaskHandle>();
    const app = await durableApp(
      (_req, res) => {
        res.once('close', () => setImmediate(() => late.open(res.locals.backgroundTasks.add(localTasks.echo, 1))));
        res.end();
      },
      { work: true },
    );
    await app.request();
    const { id } = await late.opened;
    expect(await app.until(id, 'completed')).toMatchObject({ value: [1] });
  });
});
