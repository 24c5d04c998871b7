/** The lifecycle contract, row by row: how a response ends, and when its tasks start. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import type { TaskHandle, TaskList } from 'express-background-tasks';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT } from './support/outcomes.ts';
import { frameworks, type Handler, type Next, start, type TaskedResponse } from './support/servers.ts';
import { work } from './support/time.ts';

describe.each(frameworks)('under $name', (framework) => {
  describe('when the response is sent', () => {
    it('starts the tasks after the last byte was handed to the system, never before', async () => {
      const seen: unknown[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const { socket } = res;
        const look = (): void => {
          seen.push({ finished: res.writableFinished, unsent: socket?.writableLength });
        };
        const first = res.locals.backgroundTasks.add(look);
        res.write('a part, ');
        seen.push(first.state);
        const second = res.locals.backgroundTasks.add(look);
        res.end('and the rest');
        seen.push(first.state, second.state);
      });
      expect((await request(port)).body).toBe('a part, and the rest');
      await background.idle();
      const afterTheEnd = { finished: true, unsent: 0 };
      expect(seen).toEqual(['waiting', 'waiting', 'waiting', afterTheEnd, afterTheEnd]);
    });

    it('tells each outcome that it was sent, and the status', async () => {
      const handle = makeGate<TaskHandle>();
      const { port } = await start(framework, (_req, res) => {
        handle.open(res.locals.backgroundTasks.add(() => 'done'));
        res.statusCode = 201;
        res.end();
      });
      await request(port);
      const outcome = await (await handle.opened).settled;
      expect(outcome).toMatchObject({
        state: 'completed',
        value: 'done',
        executor: 'event-loop',
        attempts: 1,
        response: { ended: 'sent', statusCode: 201 },
      });
    });

    it('runs the tasks in the order added, each when the one before has settled', async () => {
      const log: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        for (const [name, ms] of Object.entries({ slow: 30, quicker: 10, quickest: 0 })) {
          tasks.add(async () => {
            log.push(`${name} starts`);
            await work(ms);
            log.push(`${name} ends`);
          });
        }
        tasks.add(() => {
          log.push('synchronous');
        });
        res.end();
      });
      await request(port);
      await background.idle();
      expect(log).toEqual([
        'slow starts',
        'slow ends',
        'quicker starts',
        'quicker ends',
        'quickest starts',
        'quickest ends',
        'synchronous',
      ]);
    });

    it('goes on in order past a task that fails and a task that was cancelled', async () => {
      const log: string[] = [];
      const states: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        const add = (name: string, end?: () => void): TaskHandle =>
          tasks.add(async () => {
            log.push(name);
            states.push(handles.map(({ state }) => state).join(' '));
            await work(5);
            end?.();
          });
        const handles: TaskHandle[] = [];
        handles.push(add('first'));
        handles.push(
          add('failing', () => {
            throw new Error('no mail today');
          }),
        );
        handles.push(add('cancelled before it starts'));
        handles.push(add('cancels itself', () => handles[3]?.cancel()));
        handles.push(add('last'));
        handles[2]?.cancel();
        res.end();
      });
      await request(port);
      await background.idle();
      expect(log).toEqual(['first', 'failing', 'cancels itself', 'last']);
      expect(states).toEqual([
        'running waiting cancelled waiting waiting',
        'completed running cancelled waiting waiting',
        'completed failed cancelled running waiting',
        'completed failed cancelled cancelled running',
      ]);
    });

    it("runs them all at once with order: 'parallel'", async () => {
      const started: number[] = [];
      const allStarted = makeGate();
      const handler: Handler = (_req, res) => {
        for (const number of [1, 2, 3]) {
          res.locals.backgroundTasks.add(async () => {
            started.push(number);
            if (started.length === 3) allStarted.open();
            await allStarted.opened;
          });
        }
        res.end();
      };
      const { background, port } = await start(framework, handler, { order: 'parallel' });
      await request(port);
      await background.idle();
      expect(started).toEqual([1, 2, 3]);
      expect(background.stats().outcomes).toMatchObject({ completed: 3 });
    });
  });

  describe('when the response ends as', () => {
    const fail = new Error('on purpose');
    const endings: readonly {
      readonly ending: string;
      readonly status: number;
      readonly method?: string;
      readonly headers?: Record<string, string>;
      readonly end: (res: TaskedResponse, next: Next) => unknown;
    }[] = [
      { ending: '200', status: 200, end: (res) => res.end('fine') },
      {
        ending: '200, after which the handler throws',
        status: 200,
        end: (res) => {
          res.end('fine');
          throw fail;
        },
      },
      {
        ending: '200, after which it calls next(error)',
        status: 200,
        end: (res, next) => {
          res.end('fine');
          next(fail);
        },
      },
      {
        ending: '500, since the handler throws',
        status: 500,
        end: () => {
          throw fail;
        },
      },
      { ending: '500, by next(error)', status: 500, end: (_res, next) => next(fail) },
      { ending: '404', status: 404, end: (res) => res.writeHead(404).end('nothing here') },
      { ending: '404, since no handler answers', status: 404, end: (_res, next) => next() },
      { ending: '503', status: 503, end: (res) => res.writeHead(503).end('later') },
      { ending: 'a redirect', status: 302, end: (res) => redirect(res, '/elsewhere') },
      {
        ending: '304',
        status: 304,
        headers: { 'If-None-Match': '"v1"' },
        end: (res) => sendUnlessFresh(res, '"v1"', 'body'),
      },
      { ending: 'the answer to HEAD', status: 200, method: 'HEAD', end: (res) => res.end('not sent') },
      { ending: '204', status: 204, end: (res) => res.writeHead(204).end() },
    ];

    it.each(endings)('$ending, runs what `when` asks for and skips the rest', async (ending) => {
      const { status, end, ...options } = ending;
      const asked: unknown[] = [];
      const ran: string[] = [];
      const handles: TaskHandle[] = [];
      let response: ServerResponse | undefined;
      const { background, port } = await start(framework, (_req, res, next) => {
        response = res;
        const tasks = res.locals.backgroundTasks;
        handles.push(
          tasks.add(() => ran.push('by default')),
          tasks.with({ when: 'always' }).add(() => ran.push('always')),
          tasks.with({ when: 'success' }).add(() => ran.push('success')),
          tasks.with({ when: 'failure' }).add(() => ran.push('failure')),
          tasks
            .with({
              when: (seen) => {
                asked.push({ ...seen });
                return seen.statusCode === status;
              },
            })
            .add(() => ran.push('wanted')),
          tasks.with({ when: () => false }).add(() => ran.push('unwanted')),
        );
        return end(res, next);
      });
      expect((await request(port, options)).status).toBe(status);
      await background.idle();

      const succeeded = status < 400;
      expect(ran).toEqual(['by default', 'always', succeeded ? 'success' : 'failure', 'wanted']);
      expect(asked).toEqual([{ ended: 'sent', statusCode: status, res: response }]);
      const outcomes = await Promise.all(handles.map(({ settled }) => settled));
      expect(outcomes.map(({ state }) => state)).toEqual([
        'completed',
        'completed',
        succeeded ? 'completed' : 'skipped',
        succeeded ? 'skipped' : 'completed',
        'completed',
        'skipped',
      ]);
      for (const outcome of outcomes) {
        expect(outcome.response).toEqual({ ended: 'sent', statusCode: status });
        expect(outcome.attempts).toBe(outcome.state === 'skipped' ? 0 : 1);
      }
    });

    it('takes `when` from the middleware for tasks that say nothing of it', async () => {
      const handles: TaskHandle[] = [];
      const handler: Handler = (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(() => {}));
        handles.push(res.locals.backgroundTasks.with({ when: 'always' }).add(() => {}));
        res.writeHead(400).end();
      };
      const { background, port } = await start(framework, handler, { when: 'success' });
      await request(port);
      await background.idle();
      expect(handles.map(({ state }) => state)).toEqual(['skipped', 'completed']);
    });

    it('anything, fails the task whose `when` throws or answers later, and runs the others', async () => {
      const broken = new Error('when is broken');
      const handles: TaskHandle[] = [];
      const ran: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        const throwing = (): boolean => {
          throw broken;
        };
        const late = (async () => true) as unknown as () => boolean;
        handles.push(
          tasks.with({ when: throwing }).add(() => ran.push('throwing')),
          tasks.with({ when: late }).add(() => ran.push('late')),
          tasks.add(() => ran.push('sound')),
        );
        res.end();
      });
      await request(port);
      await background.idle();
      expect(ran).toEqual(['sound']);
      const [first, second] = await Promise.all(handles.map(({ settled }) => settled));
      expect(first).toMatchObject({
        state: 'failed',
        error: { code: 'ERR_BACKGROUND_HOOK' },
        attempts: 0,
        response: SENT,
      });
      expect(first?.error?.cause).toBe(broken);
      expect(second).toMatchObject({ state: 'failed', error: { code: 'ERR_BACKGROUND_HOOK' }, attempts: 0 });
    });
  });

  describe('when the client hangs up', () => {
    /** Tasks for every `when`, added to one list. */
    function addForEachWhen(tasks: TaskList, ran: string[], asked: unknown[]): TaskHandle[] {
      return [
        tasks.add(() => ran.push('always')),
        tasks.with({ when: 'success' }).add(() => ran.push('success')),
        tasks.with({ when: 'failure' }).add(() => ran.push('failure')),
        tasks
          .with({ when: ({ ended, statusCode }) => asked.push({ ended, statusCode }) > 0 })
          .add(() => ran.push('asked')),
      ];
    }

    async function expectAborted(handles: readonly TaskHandle[], ran: string[], asked: unknown[]): Promise<void> {
      const outcomes = await Promise.all(handles.map(({ settled }) => settled));
      expect(outcomes.map(({ state }) => state)).toEqual(['completed', 'skipped', 'completed', 'completed']);
      for (const { response } of outcomes) expect(response).toEqual(ABORTED);
      expect(ran).toEqual(['always', 'failure', 'asked']);
      expect(asked).toEqual([ABORTED]);
    }

    it('before the response, still runs the tasks and tells that it was aborted', async () => {
      const ran: string[] = [];
      const asked: unknown[] = [];
      const added = makeGate<TaskHandle[]>();
      const { port } = await start(framework, (_req, res) => {
        added.open(addForEachWhen(res.locals.backgroundTasks, ran, asked));
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      const handles = await added.opened;
      client.hangUp();
      await expectAborted(handles, ran, asked);
    });

    it('during the response, still runs the tasks and tells that it was aborted', async () => {
      const ran: string[] = [];
      const asked: unknown[] = [];
      const added = makeGate<TaskHandle[]>();
      const { port } = await start(framework, (_req, res) => {
        const handles = addForEachWhen(res.locals.backgroundTasks, ran, asked);
        res.write('the first half');
        added.open(handles);
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      await client.until(/the first half/);
      client.hangUp();
      await expectAborted(await added.opened, ran, asked);
    });

    it('runs the tasks once, though the handler answers all the same', async () => {
      const ran: string[] = [];
      const added = makeGate<TaskHandle>();
      const { background, port } = await start(framework, (_req, res) => {
        added.open(res.locals.backgroundTasks.add(() => ran.push('task')));
        res.once('close', () => res.end('to nobody'));
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      const handle = await added.opened;
      client.hangUp();
      expect((await handle.settled).response).toEqual(ABORTED);
      await background.idle();
      expect(ran).toEqual(['task']);
      expect(background.stats()).toMatchObject({ added: 1, settled: 1 });
    });
  });

  describe('on a connection that is kept alive', () => {
    it('gives each response its own list, and lets the next request pass tasks that still run', async () => {
      const release = makeGate();
      const lists: TaskList[] = [];
      const ran: unknown[] = [];
      const { background, port } = await start(framework, (req, res) => {
        lists.push(res.locals.backgroundTasks);
        res.locals.backgroundTasks.add(async () => {
          await release.opened;
          ran.push(req.url);
        });
        res.end(`answer to ${req.url}.`);
      });
      const client = await RawClient.connect(port);
      for (const path of ['/1', '/2', '/3']) {
        client.send(getText(path));
        await client.until(new RegExp(`answer to ${path}\\.`));
      }
      // All three were answered before any task had ended.
      expect(ran).toEqual([]);
      expect(new Set(lists).size).toBe(3);
      expect(lists.map(({ size }) => size)).toEqual([1, 1, 1]);
      release.open();
      await background.idle();
      expect(ran.sort()).toEqual(['/1', '/2', '/3']);
    });
  });

  describe('when requests are pipelined', () => {
    it('runs the tasks of each after its own response, without holding the next one up', async () => {
      const release = makeGate();
      const log: string[] = [];
      const responses = new Map<string | undefined, TaskedResponse>();
      const bothArrived = makeGate();
      const { background, port } = await start(framework, (req, res) => {
        const path = req.url as string;
        responses.set(path, res);
        res.locals.backgroundTasks.add(async () => {
          log.push(`${path} starts, finished: ${res.writableFinished}`);
          await release.opened;
          log.push(`${path} ends`);
        });
        if (responses.size === 2) bothArrived.open();
      });
      const client = await RawClient.connect(port);
      client.send(getText('/1') + getText('/2'));
      await bothArrived.opened;
      // The second is ready first, and has to wait for its turn on the wire.
      responses.get('/2')?.end('second answer');
      responses.get('/1')?.end('first answer');
      await client.until(/first answer.*second answer/s);
      release.open();
      await background.idle();
      expect(log).toEqual(['/1 starts, finished: true', '/2 starts, finished: true', '/1 ends', '/2 ends']);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2 });
    });
  });

  describe('when the response is streamed', () => {
    it('starts the tasks when the stream ends', async () => {
      const added = makeGate<TaskHandle>();
      const goOn = makeGate();
      const { port } = await start(framework, async (_req, res) => {
        added.open(res.locals.backgroundTasks.add(() => res.writableFinished));
        res.write('first chunk');
        await goOn.opened;
        res.write('second chunk');
        res.end();
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      await client.until(/first chunk/);
      const handle = await added.opened;
      expect(handle.state).toBe('waiting');
      goOn.open();
      expect(await handle.settled).toMatchObject({ value: true, response: SENT });
    });

    /** An event stream; the test says when the next event comes, and whether the server ends it. */
    async function startEventStream(): Promise<{ client: RawClient; handle: TaskHandle; res: TaskedResponse }> {
      const added = makeGate<{ handle: TaskHandle; res: TaskedResponse }>();
      const { port } = await start(framework, (_req, res) => {
        res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
        res.write('data: 1\n\n');
        added.open({ handle: res.locals.backgroundTasks.add(() => 'ran'), res });
      });
      const client = await RawClient.connect(port);
      client.send(getText());
      await client.until(/data: 1/);
      const { handle, res } = await added.opened;
      expect(handle.state).toBe('waiting');
      res.write('data: 2\n\n');
      await client.until(/data: 2/);
      expect(handle.state).toBe('waiting');
      return { client, handle, res };
    }

    it('starts them when the server ends its server-sent events', async () => {
      const { handle, res } = await startEventStream();
      res.end();
      expect(await handle.settled).toMatchObject({ state: 'completed', response: SENT });
    });

    it('starts them when the client has closed its server-sent events', async () => {
      const { client, handle } = await startEventStream();
      client.hangUp();
      expect(await handle.settled).toMatchObject({ state: 'completed', response: ABORTED });
    });
  });
});

/** By Express's own `redirect`, if there is one. */
function redirect(res: ServerResponse, url: string): void {
  if ('redirect' in res) (res as ServerResponse & { redirect(url: string): void }).redirect(url);
  else res.writeHead(302, { Location: url }).end();
}

/** By Express's own `send`, if there is one, which looks at the request's If-None-Match. */
function sendUnlessFresh(res: ServerResponse, etag: string, body: string): void {
  res.setHeader('ETag', etag);
  if ('send' in res) (res as ServerResponse & { send(body: string): void }).send(body);
  else res.writeHead(304).end();
}
