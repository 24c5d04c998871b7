/** What a task can know of itself: `currentTask()`, and the option `context`. */
import { describe, expect, it } from '@jest/globals';
import { currentTask } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { bareHttp, inRequest, serve } from './support/servers.ts';
import { work } from './support/time.ts';

describe('currentTask()', () => {
  it('tells a task its id, name, attempt, signal and context, after an await as well', async () => {
    const background = makeBackground({ retry: { attempts: 2, delay: 0 }, context: () => ({ user: 'ada' }) });
    const seen: unknown[] = [];
    const handle = await inRequest(background, (tasks) =>
      tasks.add(async function look() {
        const before = currentTask();
        await work(1);
        const { id, name, attempt, signal, context } = currentTask() as NonNullable<typeof before>;
        expect(currentTask()).toBe(before);
        seen.push({ id, name, attempt, aborted: signal.aborted, context });
        if (attempt === 1) throw new Error('once');
      }),
    );
    await handle.settled;
    const first = { id: handle.id, name: 'look', attempt: 1, aborted: false, context: { user: 'ada' } };
    expect(seen).toEqual([first, { ...first, attempt: 2 }]);
  });

  it('is different for each task, when they run side by side', async () => {
    const background = makeBackground({ order: 'parallel' });
    const look = async (): Promise<unknown> => {
      const before = currentTask()?.id;
      await work(2);
      return [before, currentTask()?.id];
    };
    const handles = await inRequest(background, (tasks) => [tasks.add(look), tasks.add(look)]);
    for (const handle of handles) expect((await handle.settled).value).toEqual([handle.id, handle.id]);
  });

  it('is undefined outside of tasks, in hooks and listeners too', async () => {
    const seen: unknown[] = [currentTask()];
    const look = (): void => {
      seen.push(currentTask());
    };
    const background = makeBackground({ onError: look });
    const handle = await inRequest(background, (tasks) => {
      look();
      return tasks.add(() => {
        throw new Error('for onError');
      });
    });
    await handle.settled;
    look();
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('is undefined in the code that added a task which started at once', () => {
    const background = makeBackground();
    background.add(() => {});
    expect(currentTask()).toBeUndefined();
  });
});

describe('the option `context`', () => {
  it('is called at each add with the request, and read in the task', async () => {
    const asked: unknown[] = [];
    const background = makeBackground({
      context: (req) => {
        asked.push(req.url);
        return { url: req.url, number: asked.length };
      },
    });
    const seen: unknown[] = [];
    const look = (): void => {
      seen.push(currentTask()?.context);
    };
    const listener = bareHttp.listener([background], (_req, res) => {
      res.locals.backgroundTasks.add(look);
      res.locals.backgroundTasks.add(look);
      res.end();
    });
    await request(await serve(listener), { path: '/path' });
    await background.idle();
    expect(asked).toEqual(['/path', '/path']);
    expect(seen).toEqual([
      { url: '/path', number: 1 },
      { url: '/path', number: 2 },
    ]);
  });

  it('passes from a task to the tasks that it adds outside of the response', async () => {
    const background = makeBackground({ context: (req) => ({ url: req.url }) });
    const handle = await inRequest(background, (tasks) =>
      tasks.add(async () => (await background.add(() => currentTask()?.context).settled).value),
    );
    expect((await handle.settled).value).toEqual({ url: '/' });
  });

  it('is undefined for a task without a request', async () => {
    const background = makeBackground({ context: () => ({ user: 'ada' }) });
    expect((await background.add(() => currentTask()?.context).settled).value).toBeUndefined();
  });

  it('fails the add in the handler where it is asynchronous, whatever becomes of its promise', async () => {
    const background = makeBackground({ context: () => Promise.reject(new Error('no user')) });
    await inRequest(background, (tasks) => {
      expect(() => tasks.add(() => {})).toThrow(
        expect.objectContaining({ code: 'ERR_BACKGROUND_HOOK', message: expect.stringContaining('promise') }),
      );
    });
  });

  it('fails the add in the handler where it throws, and nothing is counted', async () => {
    const broken = new Error('no user');
    const background = makeBackground({
      context: () => {
        throw broken;
      },
    });
    await inRequest(background, (tasks) => {
      expect(() => tasks.add(() => {})).toThrow(
        expect.objectContaining({ code: 'ERR_BACKGROUND_HOOK', cause: broken }),
      );
      expect(tasks.size).toBe(0);
    });
    expect(background.stats()).toMatchObject({ added: 0, backlog: { size: 0 } });
  });
});
