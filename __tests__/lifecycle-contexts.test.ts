/** The lifecycle contract, row by row: which async context a task sees. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { currentTask, type TaskAdder, type TaskHandle } from 'express-background-tasks';
import { memoryEngine } from 'express-background-tasks/testing/engine';
import { makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { tasks as durableTasks } from './support/durable-app.ts';
import { makeGate } from './support/gates.ts';
import { frameworks, type Middleware, serve, type TaskedResponse } from './support/servers.ts';
import { work } from './support/time.ts';
import { processes, threads } from './support/worker-kinds.ts';

describe.each(frameworks)('under $name', (framework) => {
  describe('when async contexts differ', () => {
    const storage = new AsyncLocalStorage<string>();
    const enter: Middleware = (req, _res, next) => storage.run(`request ${req.url}`, next);

    it('shows a task the store of the place where it was added, in a sequence of tasks and after an await', async () => {
      const seen: unknown[] = [];
      const background = makeBackground({ retry: { delay: 1, jitter: 0 } });
      const look = async (name: string): Promise<void> => {
        const before = storage.getStore();
        await work(2);
        seen.push([name, before, storage.getStore()]);
      };
      const flaky = (): void => {
        seen.push(['flaky', currentTask()?.attempt, storage.getStore()]);
        if (currentTask()?.attempt === 1) throw new Error('once');
      };
      const outside: Middleware = (_req, res, next) => {
        (res as TaskedResponse).locals.backgroundTasks.add(look, 'outside');
        next();
      };
      const listener = framework.listener([background, outside, enter], (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        tasks.add(look, 'handler');
        storage.run('deeper', () => tasks.add(look, 'deeper'));
        storage.run('flaky', () => tasks.with({ retry: { attempts: 2 } }).add(flaky));
        storage.exit(() => tasks.add(look, 'exited'));
        res.end();
      });
      await request(await serve(listener), { path: '/a' });
      await background.idle();
      expect(seen).toEqual([
        ['outside', undefined, undefined],
        ['handler', 'request /a', 'request /a'],
        ['deeper', 'deeper', 'deeper'],
        ['flaky', 1, 'flaky'],
        ['flaky', 2, 'flaky'],
        ['exited', undefined, undefined],
      ]);
    });

    it('shows it to the `when` of a task, and to who is told that it did not run', async () => {
      const seen: unknown[] = [];
      const background = makeBackground();
      background.on('settled', ({ state }) => seen.push([state, storage.getStore()]));
      const no = (): boolean => {
        seen.push(['no', storage.getStore()]);
        return false;
      };
      const broken = (): boolean => {
        throw new Error('no answer');
      };
      const listener = framework.listener([background, enter], (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        tasks.add(() => {});
        storage.run('no', () => tasks.with({ when: no }).add(() => {}));
        storage.run('broken', () => tasks.with({ when: broken }).add(() => {}));
        storage.exit(() => tasks.with({ when: 'failure' }).add(() => {}));
        res.end();
      });
      await request(await serve(listener), { path: '/a' });
      await background.idle();
      expect(seen).toEqual([
        ['no', 'no'],
        ['skipped', 'no'],
        ['failed', 'broken'],
        ['skipped', undefined],
        ['completed', 'request /a'],
      ]);
    });

    it.each<[string, (adder: TaskAdder) => TaskHandle]>([
      ['thread', (adder) => adder.add(threads.tasks.nothing)],
      ['process', (adder) => adder.add(processes.tasks.nothing)],
      ['engine', (adder) => adder.add(durableTasks.fail, 'not run')],
    ])(
      'shows it to the `when` of a task for the executor %s, and never that of another task',
      async (executor, add) => {
        const seen: unknown[] = [];
        const background = makeBackground({ engine: memoryEngine() });
        background.on('settled', (outcome) => {
          if (outcome.executor === executor) seen.push([outcome.state, storage.getStore()]);
        });
        const no = (): boolean => {
          seen.push(['no', storage.getStore()]);
          return false;
        };
        const listener = framework.listener([background, enter], (_req, res) => {
          const tasks = res.locals.backgroundTasks;
          storage.run('another', () => tasks.add(() => {}));
          storage.run('no', () => add(tasks.with({ when: no })));
          storage.exit(() => add(tasks.with({ when: no })));
          storage.run('failure', () => add(tasks.with({ when: 'failure' })));
          res.end();
        });
        await request(await serve(listener), { path: '/a' });
        await background.idle();
        expect(seen).toEqual([
          ['no', 'no'],
          ['skipped', 'no'],
          ['no', undefined],
          ['skipped', undefined],
          ['skipped', undefined],
        ]);
      },
    );

    it.each<[string, (res: TaskedResponse) => unknown]>([
      ['was sent', (res) => res.end()],
      ['was broken off', (res) => res.destroy()],
    ])('shows it to who is told that a durable task is handed over, when the response %s', async (_how, end) => {
      const background = makeBackground({ engine: memoryEngine() });
      const seen: unknown[] = [];
      for (const event of ['started', 'settled'] as const) {
        background.on(event, () => seen.push([event, storage.getStore()]));
      }
      const added = makeGate<TaskHandle>();
      const listener = framework.listener([background, enter], (_req, res) => {
        added.open(res.locals.backgroundTasks.add(durableTasks.echo));
        storage.exit(() => setImmediate(() => end(res)));
      });
      const answered = request(await serve(listener), { path: '/a' }).catch(() => {});
      await (await added.opened).settled;
      await answered;
      expect(seen).toEqual([
        ['started', 'request /a'],
        ['settled', 'request /a'],
      ]);
    });

    it('never shows it the store of another request, whether they overlap, share a connection or are pipelined', async () => {
      const seen: [unknown, unknown][] = [];
      const background = makeBackground();
      let waiting: TaskedResponse[] = [];
      const listener = framework.listener([background, enter], (req, res) => {
        const tasks = res.locals.backgroundTasks;
        const look = async (): Promise<void> => {
          seen.push([req.url, storage.getStore()]);
          await work(1);
          seen.push([req.url, storage.getStore()]);
        };
        tasks.add(look);
        tasks.add(() => tasks.add(look));
        // Answered together, and the last one first, so that no end is seen in the context of its own request.
        waiting.push(res);
        if (waiting.length < 4) return;
        for (const other of waiting.reverse()) other.end('answered.');
        waiting = [];
      });
      const port = await serve(listener);
      const clients = await Promise.all([RawClient.connect(port), RawClient.connect(port)]);
      for (const round of [1, 2]) {
        for (const [index, client] of clients.entries()) {
          client.send(getText(`/${round}${index}a`) + getText(`/${round}${index}b`));
        }
        const answered = new RegExp(`(answered\\..*){${round * 2}}`, 's');
        await Promise.all(clients.map((client) => client.until(answered)));
      }
      await background.idle();
      expect(seen).toHaveLength(8 * 4);
      for (const [url, store] of seen) expect(store).toBe(`request ${url}`);
    });

    it('shows a late task the store of where it was added', async () => {
      const seen = makeGate<unknown>();
      const background = makeBackground();
      const listener = framework.listener([background, enter], async (_req, res) => {
        const first = res.locals.backgroundTasks.add(() => {});
        res.end();
        await first.settled;
        storage.run('late', () => res.locals.backgroundTasks.add(() => seen.open(storage.getStore())));
      });
      await request(await serve(listener));
      expect(await seen.opened).toBe('late');
    });
  });
});
