/** Durable tasks where backgroundTasks() was given no engine, as in development. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { currentTask } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { localTasks, tasks } from './support/durable-app.ts';
import { openLogBook } from './support/log-book.ts';
import { bareHttp, serve } from './support/servers.ts';

describe('without an engine', () => {
  it('durable tasks run in this process, and one warning says so', async () => {
    const { logger, lines } = openLogBook();
    const background = makeBackground({ logger });
    const handles = [1, 2].map((value) => background.add(tasks.echo, value));
    await Promise.all(handles.map(({ accepted }) => accepted));
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes).toMatchObject([
      { executor: 'thread', value: [1] },
      { executor: 'thread', value: [2] },
    ]);
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { message: expect.stringContaining('Task tasks.echo is durable, but backgroundTasks() has no `engine`') },
    ]);
  });

  it('one on the event loop sees the store of the place where it was added, in each of its attempts', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const look = (): void => void seen.push(storage.getStore());
    const lookTwice = (): void => {
      look();
      if (currentTask()?.attempt === 1) throw new Error('once');
    };
    const background = makeBackground({ logger: false, retry: { attempts: 2, delay: 1 } });
    const listener = bareHttp.listener([background], (_req, res) => {
      const { backgroundTasks: list } = res.locals;
      storage.run('first', () => list.add(localTasks.call, look));
      storage.run('second', () => list.add(localTasks.call, lookTwice));
      storage.run('third', () => list.add(localTasks.call, look));
      list.add(localTasks.call, look);
      res.end();
    });
    await request(await serve(listener));
    await background.idle();
    expect(seen).toEqual(['first', 'second', 'second', 'third', undefined]);
  });
});
