/** When a response has ended and how, where it goes over no connection: serverless adapters, injected requests, mocks. */
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT } from './support/outcomes.ts';
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
