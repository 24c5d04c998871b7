/** When a response has ended and how, where it goes over no connection: serverless adapters, injected requests, mocks. */
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT, thrownBy } from './support/outcomes.ts';
import { bareHttp, frameworks, type TaskedResponse } from './support/servers.ts';
import { askInjected, standIns } from './support/stand-ins.ts';

describe.each(standIns)('when $name stands in for the response', ({ ask }) => {
  describe.each(frameworks)('under $name', ({ listener }) => {
    it('starts tasks after the handler, and tells that it was sent', async () => {
      const events: string[] = [];
      const handles: TaskHandle[] = [];
      const background = makeBackground({ when: 'success' });
      await ask(
        listener([background], (_req, res) => {
          const tasks = res.locals.backgroundTasks;
          handles.push(tasks.add(() => events.push('task')));
          res.end('answer');
          handles.push(tasks.add(() => events.push('late task')));
          events.push('handler');
        }),
      );
      for (const { settled } of handles) expect(await settled).toMatchObject({ state: 'completed', response: SENT });
      expect(events).toEqual(['handler', 'task', 'late task']);
    });

    it.each(['at once', 'two turns'])('starts a first task that is added %s after the answer', async (when) => {
      const added = makeGate<TaskHandle>();
      const background = makeBackground({ when: 'success' });
      await ask(
        listener([background], (_req, res) => {
          const add = (): void => added.open(res.locals.backgroundTasks.add(() => 'ran'));
          res.end('answer');
          if (when === 'at once') add();
          else setImmediate(() => setImmediate(add));
        }),
      );
      expect(await (await added.opened).settled).toMatchObject({ value: 'ran', response: SENT });
    });

    it('tells the status', async () => {
      const added = makeGate<TaskHandle>();
      const background = makeBackground({ when: 'failure' });
      await ask(
        listener([background], (_req, res) => {
          added.open(res.locals.backgroundTasks.add(() => 'ran'));
          res.statusCode = 418;
          res.end('answer');
        }),
      );
      expect(await (await added.opened).settled).toMatchObject({
        value: 'ran',
        response: { ended: 'sent', statusCode: 418 },
      });
    });
  });
});

describe('when the response of an injected request is destroyed', () => {
  const bothDestroy: [string, (res: TaskedResponse) => unknown][] = [
    ['at once', (res) => res.destroy()],
    ['in the middle', (res) => res.write('a part') && setImmediate(() => res.destroy())],
  ];

  it.each(bothDestroy)(
    'runs the tasks that were added before, and tells that it was aborted, %s',
    async (_when, destroy) => {
      const added = makeGate<TaskHandle>();
      await askInjected(
        bareHttp.listener([makeBackground()], (_req, res) => {
          added.open(res.locals.backgroundTasks.add(() => 'ran'));
          destroy(res);
        }),
      );
      expect(await (await added.opened).settled).toMatchObject({ value: 'ran', response: ABORTED });
    },
  );

  it.each(bothDestroy)(
    'runs the first task that is added after, and tells that it was aborted, %s',
    async (_when, destroy) => {
      const added = makeGate<TaskHandle>();
      await askInjected(
        bareHttp.listener([makeBackground()], (_req, res) => {
          res.once('close', () => setImmediate(() => added.open(res.locals.backgroundTasks.add(() => 'late'))));
          destroy(res);
        }),
      );
      expect(await (await added.opened).settled).toMatchObject({ value: 'late', response: ABORTED });
    },
  );
});

describe('when what stands in for the response cannot tell that it has ended', () => {
  it.each<[string, object]>([
    ['an empty object', {}],
    ['an object with a few of its methods', { locals: {}, status() {}, json() {}, on() {} }],
    ['the next function', () => {}],
  ])('refuses a task before it is accepted: %s', async (_what, double) => {
    const background = makeBackground();
    const res = double as TaskedResponse;
    background({} as IncomingMessage, res, () => {});
    const ran: string[] = [];
    for (const attempt of ['first', 'second']) {
      const error = thrownBy(() => res.locals.backgroundTasks.add(() => ran.push(attempt)));
      expect(error.code).toBe('ERR_BACKGROUND_NO_REQUEST');
      expect(error.message).toMatch(/^Expected the middleware to be called with a response, got (an object|function)/);
    }
    expect(background.stats().added).toBe(0);
    expect(res.locals.backgroundTasks.size).toBe(0);
    await background.close();
    expect(ran).toEqual([]);
  });

  it('still takes a task after one that was refused, where it can', async () => {
    const background = makeBackground({ maxBacklog: 1 });
    const other = background.add(() => new Promise(() => {}));
    const res = Object.assign(new EventEmitter(), { statusCode: 200 }) as unknown as TaskedResponse;
    background({} as IncomingMessage, res, () => {});
    const add = (): TaskHandle => res.locals.backgroundTasks.add(() => 'ran');
    expect(thrownBy(add).code).toBe('ERR_BACKGROUND_FULL');
    other.cancel();
    const handle = add();
    expect(await handle.settled).toMatchObject({ state: 'completed', value: 'ran' });
    expect(res.locals.backgroundTasks.size).toBe(1);
  });
});
