/** What an engine is given of a task: its name, arguments that are JSON, and how it is to be run. */
import { describe, expect, it } from '@jest/globals';
import { backgroundTasks } from 'express-background-tasks';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { request } from './support/clients.ts';
import { durableApp, localTasks, tasks } from './support/durable-app.ts';
import { thrownBy } from './support/outcomes.ts';
import { serve, type TaskedResponse } from './support/servers.ts';

describe('what is staged', () => {
  it('is the name, the arguments, the context, and the policy of all levels', async () => {
    const staged: unknown[] = [];
    const engine = memoryEngine();
    const background = backgroundTasks({
      engine: engine.connect({
        intercept: (method, proceed, [argument]) => {
          if (method === 'stage') staged.push(...(argument as unknown[]));
          return proceed();
        },
      }),
      logger: false,
      timeout: 5_000,
      retry: { delay: 10 },
      durable: { hold: 70_000 },
      context: () => ({ requestId: 'r-1' }),
    });
    const port = await serve((req, res) => {
      background(req, res, () => {
        const list = (res as TaskedResponse).locals.backgroundTasks;
        const { accepted } = list.with({ priority: 5, retry: { factor: 3 } }).add(tasks.echo, 'ä', 1);
        void accepted.then(() => res.end());
      });
    });
    await request(port);
    await background.close();
    expect(staged).toEqual([
      {
        envelope: {
          v: 1,
          id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/),
          task: 'tasks.echo',
          args: ['ä', 1],
          context: { requestId: 'r-1' },
          timeout: 5_000,
        },
        holdMs: 70_000,
        priority: 5,
        retry: { attempts: 3, delay: 10, factor: 3, maxDelay: 30_000, jitter: 0.5 },
      },
    ]);
  });

  it('is a copy of the arguments as they were at `add`', async () => {
    const app = await durableApp(() => {}, { work: true });
    const list = [1];
    const { id } = app.background.add(localTasks.echo, list);
    list.push(2);
    expect((await app.until(id, 'completed')).value).toEqual([[1]]);
  });

  it.each<[string, unknown, string]>([
    ['a date', { sentAt: new Date(0) }, 'an object of class Date at [0].sentAt'],
    ['a function', [() => 1], 'function (anonymous) at [0][0]'],
    ['undefined', undefined, 'undefined at [0]'],
    ['a number that is none', Number.NaN, 'NaN at [0]'],
    ['a big integer', 1n, 'a bigint at [0]'],
    ['a map', new Map(), 'an object of class Map at [0]'],
    ['bytes', Buffer.from('ab'), 'an object of class Buffer at [0]'],
    ['a getter', Object.defineProperty({}, 'x', { get: () => 1, enumerable: true }), 'a getter at [0].x'],
    ['a proxy, whose code would be called', new Proxy({}, {}), 'an object at [0]'],
    ['what makes JSON of itself', { toJSON: () => 1 }, 'an object at [0]'],
  ])('is never a value that JSON would change, such as %s', async (_name, value, fault) => {
    const { background } = await durableApp(() => {});
    const error = thrownBy(() => background.add(tasks.echo, value));
    expect(error.code).toBe('ERR_BACKGROUND_NOT_JSON');
    expect(error.message).toBe(
      `Expected the arguments of task tasks.echo to be JSON, got ${fault}: pass plain data, or an id that the task can look it up by.`,
    );
    expect(background.stats().added).toBe(0);
  });

  it('does not contain itself', async () => {
    const { background } = await durableApp(() => {});
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(thrownBy(() => background.add(tasks.echo, circle)).code).toBe('ERR_BACKGROUND_NOT_JSON');
  });

  it('is no larger than the limit', async () => {
    const { background } = await durableApp(() => {}, { durable: { maxArgumentsSize: 100 } });
    const error = thrownBy(() => background.add(tasks.echo, 'ä'.repeat(50)));
    expect(error.code).toBe('ERR_BACKGROUND_TOO_LARGE');
    expect(error.message).toContain('at most 100 bytes of JSON, got 104');
    await background.add(tasks.echo, 'ä'.repeat(48)).accepted;
  });
});
