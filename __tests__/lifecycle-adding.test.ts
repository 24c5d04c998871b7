/** The lifecycle contract, row by row: what is added after the response has ended, and what tasks add. */
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT } from './support/outcomes.ts';
import { frameworks, start } from './support/servers.ts';
import { work } from './support/time.ts';

describe.each(frameworks)('under $name', (framework) => {
  describe('when a task is added after the response ended', () => {
    it('starts the first one by itself, for a handler that outlived its client', async () => {
      const arrived = makeGate();
      const added = makeGate<TaskHandle[]>();
      const { port } = await start(framework, async (_req, res) => {
        const closed = new Promise((resolve) => res.once('close', resolve));
        arrived.open();
        await closed;
        const tasks = res.locals.backgroundTasks;
        added.open([
          tasks.add(() => 'late'),
          tasks.with({ when: 'success' }).add(() => 'skipped'),
          tasks.add(() => 'later'),
        ]);
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      await arrived.opened;
      client.hangUp();
      const outcomes = await Promise.all((await added.opened).map(({ settled }) => settled));
      expect(outcomes).toMatchObject([
        { state: 'completed', value: 'late', response: ABORTED },
        { state: 'skipped', response: ABORTED },
        { state: 'completed', value: 'later', response: ABORTED },
      ]);
    });

    it('tells that it was aborted, though a handler that outlived its client goes on to answer', async () => {
      const arrived = makeGate();
      const added = makeGate<TaskHandle>();
      const { port } = await start(framework, async (_req, res) => {
        const closed = new Promise((resolve) => res.once('close', resolve));
        arrived.open();
        await closed;
        added.open(res.locals.backgroundTasks.add(() => 'late'));
        res.end('to nobody');
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      await arrived.opened;
      client.hangUp();
      expect(await (await added.opened).settled).toMatchObject({ value: 'late', response: ABORTED });
    });

    it('starts the first one by itself, for a handler that outlived its own answer', async () => {
      const added = makeGate<TaskHandle>();
      const { port } = await start(framework, async (_req, res) => {
        const finished = new Promise((resolve) => res.once('finish', resolve));
        res.end();
        await finished;
        added.open(res.locals.backgroundTasks.add(() => 'late'));
      });
      await request(port);
      expect(await (await added.opened).settled).toMatchObject({ value: 'late', response: SENT });
    });

    it('starts a further one within the call to add', async () => {
      const states = makeGate<string[]>();
      const { port } = await start(framework, async (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        const first = tasks.add(() => 'in time');
        res.end();
        await first.settled;
        const synchronous = tasks.add(() => 'late');
        const asynchronous = tasks.add(() => work(5));
        states.open([synchronous.state, asynchronous.state]);
      });
      await request(port);
      expect(await states.opened).toEqual(['completed', 'running']);
    });

    it('waits for those before it, in sequential order', async () => {
      const log: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        const started = makeGate();
        const release = makeGate();
        tasks.add(async () => {
          started.open();
          await release.opened;
          log.push('in time');
        });
        res.end();
        started.opened.then(() => {
          const late = tasks.add(() => log.push('late'));
          log.push(late.state);
          release.open();
        });
      });
      await request(port);
      await background.idle();
      // The task above may be seen as idle only after the late one was added, which its own start sets off.
      await background.idle();
      expect(log).toEqual(['waiting', 'in time', 'late']);
    });
  });

  describe('when a task adds a task', () => {
    it('runs it, and counts it for idle()', async () => {
      const ran: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        tasks.add(async () => {
          await work(5);
          tasks.add(async () => {
            await work(5);
            ran.push('child');
            background.add(async () => {
              await work(5);
              ran.push('grandchild');
            });
          });
          ran.push('parent');
        });
        res.end();
      });
      await request(port);
      await background.idle();
      expect(ran).toEqual(['parent', 'child', 'grandchild']);
    });

    it('runs it at once if its parent waits for it, in sequential order as well', async () => {
      const parent = makeGate<TaskHandle>();
      const { port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        parent.open(tasks.add(async () => (await tasks.add(() => 'of the child').settled).value));
        res.end();
      });
      await request(port);
      expect(await (await parent.opened).settled).toMatchObject({ state: 'completed', value: 'of the child' });
    });

    it('runs it in its turn if the parent has ended, and code that it left behind adds it', async () => {
      const late = makeGate();
      const ran: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        tasks.add(() => {
          void late.opened.then(() => tasks.add(() => ran.push('added by what was left behind')));
        });
        tasks.add(async () => {
          late.open();
          await work(5);
          ran.push('the next');
        });
        res.end();
      });
      await request(port);
      await background.idle();
      expect(ran).toEqual(['the next', 'added by what was left behind']);
    });

    it('runs it and counts it for close(), which accepts nothing from elsewhere', async () => {
      const started = makeGate();
      const release = makeGate();
      const ran: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        tasks.add(async () => {
          started.open();
          await release.opened;
          tasks.add(() => ran.push('child'));
          background.add(() => ran.push('child without a response'));
        });
        res.end();
      });
      await request(port);
      await started.opened;
      const closing = background.close();
      expect(() => background.add(() => ran.push('a stranger'))).toThrow(/close\(\) was called/);
      release.open();
      expect(await closing).toEqual({ completed: 3, failed: 0, abandoned: [] });
      expect(ran).toEqual(['child', 'child without a response']);
    });
  });
});
