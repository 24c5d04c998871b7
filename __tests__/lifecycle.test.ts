/** The lifecycle contract, row by row, for the response and its list of tasks. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import {
  type BackgroundTasks,
  type BackgroundTasksOptions,
  currentTask,
  type Logger,
  type Outcome,
  type TaskHandle,
  type TaskList,
} from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import {
  errorAnswering,
  expresses,
  type Framework,
  frameworks,
  type Handler,
  type Middleware,
  type Next,
  serve,
  type TaskedResponse,
} from './support/servers.ts';
import { work } from './support/time.ts';
import { watchWarnings } from './support/warnings.ts';

interface Started {
  readonly background: BackgroundTasks;
  readonly port: number;
}

/** One instance, one handler, one server. */
async function start(framework: Framework, handler: Handler, options?: BackgroundTasksOptions): Promise<Started> {
  const background = makeBackground(options);
  return { background, port: await serve(framework.listener([background], handler)) };
}

const SENT = { ended: 'sent', statusCode: 200 };
const ABORTED = { ended: 'aborted', statusCode: 200 };

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

  describe('when one of several tasks fails', () => {
    it.each(['sequential', 'parallel'] as const)('still runs the others, in %s order', async (order) => {
      const ran: string[] = [];
      const handles: TaskHandle[] = [];
      const handler: Handler = (_req, res) => {
        const add = (task: () => unknown): number => handles.push(res.locals.backgroundTasks.add(task));
        add(() => ran.push('first'));
        add(() => {
          throw new Error('thrown');
        });
        add(() => ran.push('middle'));
        add(() => Promise.reject(new Error('rejected')));
        add(() => ran.push('last'));
        res.end();
      };
      const { background, port } = await start(framework, handler, { order });
      await request(port);
      await background.idle();
      expect(ran).toEqual(['first', 'middle', 'last']);
      expect(handles.map(({ state }) => state)).toEqual(['completed', 'failed', 'completed', 'failed', 'completed']);
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

    it('runs it at once where its parent waits for it, in sequential order as well', async () => {
      const parent = makeGate<TaskHandle>();
      const { port } = await start(framework, (_req, res) => {
        const tasks = res.locals.backgroundTasks;
        parent.open(tasks.add(async () => (await tasks.add(() => 'of the child').settled).value));
        res.end();
      });
      await request(port);
      expect(await (await parent.opened).settled).toMatchObject({ state: 'completed', value: 'of the child' });
    });

    it('runs it in its turn where the parent is over, and has only left behind what adds it', async () => {
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

    it('runs it and counts it for close(), which takes nothing from anybody else', async () => {
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
      // All three were answered while not one task was over.
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

  describe('when the middleware is mounted twice', () => {
    it('keeps one list, and runs each task once', async () => {
      const ran: string[] = [];
      const lists: unknown[] = [];
      const background = makeBackground();
      const between: Middleware = (_req, res, next) => {
        const tasks = (res as TaskedResponse).locals.backgroundTasks;
        lists.push(tasks);
        tasks.add(() => ran.push('between'));
        next();
      };
      const listener = framework.listener([background, between, background], (_req, res) => {
        lists.push(res.locals.backgroundTasks);
        res.locals.backgroundTasks.add(() => ran.push('handler'));
        res.end();
      });
      await request(await serve(listener));
      await background.idle();
      expect(lists[0]).toBe(lists[1]);
      expect(ran).toEqual(['between', 'handler']);
    });

    it('as two instances, gives each what is added below it, and loses nothing', async () => {
      const ran: string[] = [];
      const outer = makeBackground();
      const inner = makeBackground({ when: 'failure' });
      const between: Middleware = (_req, res, next) => {
        (res as TaskedResponse).locals.backgroundTasks.add(() => ran.push('outer'));
        next();
      };
      const listener = framework.listener([outer, between, inner], (_req, res) => {
        res.locals.backgroundTasks.add(() => ran.push('inner'));
        res.writeHead(400).end();
      });
      await request(await serve(listener));
      await Promise.all([outer.idle(), inner.idle()]);
      expect(ran.sort()).toEqual(['inner', 'outer']);
      expect(outer.stats()).toMatchObject({ added: 1, settled: 1 });
      expect(inner.stats()).toMatchObject({ added: 1, settled: 1 });
    });
  });

  describe('when user code replaces res.locals', () => {
    it('still serves whoever holds the list, and gives a new one to the next mount', async () => {
      const ran: string[] = [];
      const background = makeBackground();
      const replace: Middleware = (_req, res, next) => {
        const response = res as TaskedResponse;
        const held = response.locals.backgroundTasks;
        held.add(() => ran.push('before'));
        response.locals = {} as TaskedResponse['locals'];
        held.add(() => ran.push('after'));
        next();
      };
      const listener = framework.listener([background, replace, background], (_req, res) => {
        res.locals.backgroundTasks.add(() => ran.push('in the new list'));
        res.end();
      });
      await request(await serve(listener));
      await background.idle();
      expect(ran.filter((name) => name !== 'in the new list')).toEqual(['before', 'after']);
      expect(ran.sort()).toEqual(['after', 'before', 'in the new list']);
    });

    it('keeps what else was in res.locals', async () => {
      const background = makeBackground();
      const preset: Middleware = (_req, res, next) => {
        const response = res as TaskedResponse;
        response.locals ??= {} as TaskedResponse['locals'];
        response.locals['user'] = 'ada';
        next();
      };
      const listener = framework.listener([preset, background], (_req, res) => {
        res.end(`${res.locals['user']} ${res.locals.backgroundTasks.size}`);
      });
      expect((await request(await serve(listener))).body).toBe('ada 0');
    });
  });

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

  describe('when a task ends badly', () => {
    const error = new TypeError('thrown');
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('do not touch');
        },
        getPrototypeOf() {
          throw new Error('do not touch');
        },
      },
    );
    const unreadable = Object.defineProperty(new Error(), 'message', { get: () => raise(new Error('do not touch')) });
    // In a test, jest fails for an uncaughtException or an unhandledRejection of the process.
    it.each<[string, () => unknown, unknown]>([
      ['a throw', () => raise(error), error],
      ['a rejection', () => Promise.reject(error), error],
      ['a rejection after some time', () => work(1).then(() => raise(error)), error],
      ['a thrown string', () => raise('a string'), 'a string'],
      ['a thrown null', () => raise(null), null],
      ['a thrown undefined', () => raise(undefined), undefined],
      ['a rejection with nothing', () => Promise.reject(), undefined],
      ['a rejection with a function', () => Promise.reject(raise), raise],
      ['a thrown proxy that throws at every touch', () => raise(hostile), hostile],
      ['an Error whose message cannot be read', () => raise(unreadable), unreadable],
      ['a thenable that rejects', () => thenable((_yes, no) => no(error)), error],
      ['a thenable that throws', () => thenable(() => raise(error)), error],
      [
        'a `then` that cannot be read',
        () =>
          Object.defineProperty({}, 'then', {
            get: () => raise(error),
          }),
        error,
      ],
    ])('%s makes an outcome and one log line', async (_what, task, thrown) => {
      const lines: unknown[][] = [];
      const told: unknown[][] = [];
      const handle = makeGate<TaskHandle>();
      const handler: Handler = (_req, res) => {
        handle.open(res.locals.backgroundTasks.with({ name: 'bad' }).add(task));
        res.end();
      };
      const { background, port } = await start(framework, handler, {
        logger: recorder(lines),
        onError: (...args) => {
          told.push(args);
        },
      });
      expect((await request(port)).status).toBe(200);
      const outcome = await (await handle.opened).settled;
      await background.idle();
      expect(outcome.state).toBe('failed');
      if (thrown === error) expect(outcome.error).toBe(error);
      else {
        expect((outcome.error as { code?: string }).code).toBe('ERR_BACKGROUND_NOT_AN_ERROR');
        expect(Object.is((outcome.error as Error).cause, thrown)).toBe(true);
      }
      expect(lines).toHaveLength(1);
      expect(lines[0]?.[0]).toBe('error');
      expect(lines[0]?.[1]).toContain('Task bad failed');
      const { name, message, stack } = outcome.error as Error;
      expect(lines[0]?.[2]).toMatchObject({
        task: 'bad',
        id: outcome.id,
        attempt: 1,
        waitedMs: Math.round(outcome.waitedMs),
        ranMs: Math.round(outcome.ranMs),
        error: { name, message, stack },
      });
      expect(told).toHaveLength(1);
      expect(told[0]?.[0] === outcome.error && told[0]?.[1] === outcome).toBe(true);
    });

    it.each<[string, () => unknown]>([
      ['throws', () => raise(new Error('the hook is broken'))],
      ['rejects', () => Promise.reject(new Error('the hook is broken'))],
      ['throws what is no Error', () => raise(undefined)],
    ])('an onError that %s is logged, and the next task runs', async (_how, onError) => {
      const lines: unknown[][] = [];
      const handles: TaskHandle[] = [];
      const hookLogged = makeGate();
      const logger = recorder(lines, () => {
        if (lines.length === 2) hookLogged.open();
      });
      const handler: Handler = (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(() => raise(error)));
        handles.push(res.locals.backgroundTasks.add(() => 'unharmed'));
        res.end();
      };
      const { background, port } = await start(framework, handler, { logger, onError: onError as () => void });
      await request(port);
      await background.idle();
      await hookLogged.opened;
      expect(handles.map(({ state }) => state)).toEqual(['failed', 'completed']);
      expect(await handles[0]?.settled).toMatchObject({ error });
      const errors = lines.filter(([level]) => level === 'error');
      expect(errors).toHaveLength(2);
      expect(errors[1]?.[1]).toContain('Expected `onError` not to throw');
    });

    it.each<[string, () => unknown]>([
      ['throws', () => raise(new Error('the disk is full'))],
      ['rejects', () => Promise.reject(new Error('the disk is full'))],
    ])('a logger that %s changes nothing, and makes one warning of the process', async (_how, log) => {
      const warnings = watchWarnings();
      const handles: TaskHandle[] = [];
      const told: Outcome[] = [];
      const handler: Handler = (_req, res) => {
        handles.push(res.locals.backgroundTasks.add(() => raise(error)));
        handles.push(res.locals.backgroundTasks.add(() => 'unharmed'));
        res.end();
      };
      const { background, port } = await start(framework, handler, {
        logger: { error: log, warn: log, info: log, debug: log },
        onError: (_error, outcome) => {
          told.push(outcome);
        },
      });
      await request(port);
      await background.idle();
      expect(handles.map(({ state }) => state)).toEqual(['failed', 'completed']);
      expect(told).toMatchObject([{ state: 'failed', error }]);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2 });
      expect(await warnings()).toEqual(['ERR_BACKGROUND_LOGGER']);
    });
  });
});

describe.each(errorAnswering)('under $name, that answers errors by itself', (framework) => {
  describe('when maxBacklog is reached', () => {
    it('answers 503 with Retry-After, and keeps what it has accepted', async () => {
      const ran: string[] = [];
      const refused: unknown[] = [];
      const handler: Handler = (req, res) => {
        const tasks = res.locals.backgroundTasks;
        tasks.add(() => ran.push(`${req.url} first`));
        tasks.add(() => ran.push(`${req.url} second`));
        try {
          tasks.add(() => ran.push(`${req.url} third`));
        } catch (thrown) {
          refused.push(thrown);
          throw thrown;
        }
        res.end('never reached');
      };
      const { background, port } = await start(framework, handler, { maxBacklog: 2 });
      const answer = await request(port, { path: '/a' });
      expect(answer.status).toBe(503);
      expect(answer.headers['retry-after']).toBe('1');
      expect(refused).toMatchObject([{ code: 'ERR_BACKGROUND_FULL', status: 503, expose: true }]);
      await background.idle();
      expect(ran).toEqual(['/a first', '/a second']);
      expect(background.stats()).toMatchObject({ added: 2, settled: 2, outcomes: { completed: 2 } });

      // Those have settled: there is room again.
      expect((await request(port, { path: '/b' })).status).toBe(503);
      await background.idle();
      expect(ran).toEqual(['/a first', '/a second', '/b first', '/b second']);
    });

    it('counts tasks that run, of other responses and of none', async () => {
      const release = makeGate();
      const handler: Handler = (_req, res) => {
        res.locals.backgroundTasks.add(() => release.opened);
        res.end('taken');
      };
      const { background, port } = await start(framework, handler, { maxBacklog: 2 });
      background.add(() => release.opened);
      expect((await request(port)).status).toBe(200);
      expect((await request(port)).status).toBe(503);
      expect(() => background.add(() => {})).toThrow(expect.objectContaining({ code: 'ERR_BACKGROUND_FULL' }));
      release.open();
      await background.idle();
      expect((await request(port)).status).toBe(200);
      await background.idle();
      expect(background.stats().outcomes).toMatchObject({ completed: 3 });
    });
  });

  describe('after close()', () => {
    it('answers 503 with Retry-After to whatever adds a task, and serves the rest', async () => {
      const refused: unknown[] = [];
      const { background, port } = await start(framework, (req, res) => {
        if (req.url === '/adds') {
          try {
            res.locals.backgroundTasks.add(() => {});
          } catch (thrown) {
            refused.push(thrown);
            throw thrown;
          }
        }
        res.end('served');
      });
      await background.close();
      const answer = await request(port, { path: '/adds' });
      expect(answer.status).toBe(503);
      expect(answer.headers['retry-after']).toBe('1');
      expect(refused).toMatchObject([{ code: 'ERR_BACKGROUND_CLOSED', status: 503, expose: true }]);
      expect(await request(port)).toMatchObject({ status: 200, body: 'served' });
      expect(background.stats()).toMatchObject({ added: 0, settled: 0 });
    });

    it('still runs, before close() is over, what was added to a response that was under way', async () => {
      const added = makeGate<TaskedResponse>();
      const ran: string[] = [];
      const { background, port } = await start(framework, (_req, res) => {
        res.locals.backgroundTasks.add(() => ran.push('accepted'));
        added.open(res);
      });
      const answer = request(port);
      const res = await added.opened;
      const closing = background.close();
      expect(() => res.locals.backgroundTasks.add(() => {})).toThrow(
        expect.objectContaining({ code: 'ERR_BACKGROUND_CLOSED' }),
      );
      res.end();
      expect((await answer).status).toBe(200);
      expect(await closing).toEqual({ completed: 1, failed: 0, abandoned: [] });
      expect(ran).toEqual(['accepted']);
    });
  });
});

describe('under Express 5', () => {
  it('answers 503 when an async handler meets maxBacklog, and keeps what it has accepted', async () => {
    const ran: string[] = [];
    const background = makeBackground({ maxBacklog: 1 });
    const handler: Handler = async (_req, res) => {
      await work(1);
      res.locals.backgroundTasks.add(() => ran.push('accepted'));
      await work(1);
      res.locals.backgroundTasks.add(() => ran.push('refused'));
    };
    const [express5] = errorAnswering;
    const answer = await request(await serve((express5 as Framework).listener([background], handler)));
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    await background.idle();
    expect(ran).toEqual(['accepted']);
  });
});

describe.each(expresses)('under $name, with routers', ({ express }) => {
  it('leaves to a router with an instance of its own what is added in it, and the rest to the application', async () => {
    const settled: string[] = [];
    const outer = makeBackground();
    const inner = makeBackground();
    outer.on('settled', ({ name }) => settled.push(`outer: ${name}`));
    inner.on('settled', ({ name }) => settled.push(`inner: ${name}`));

    const router = express.Router();
    router.use(inner);
    router.get('/inside', (_req, res) => {
      res.locals.backgroundTasks.add(function inside() {});
      res.end();
    });
    const app = express();
    app.use(outer);
    app.use((_req, res, next) => {
      res.locals.backgroundTasks.add(function above() {});
      next();
    });
    app.use('/router', router);
    app.get('/beside', (_req, res) => {
      res.locals.backgroundTasks.add(function beside() {});
      res.end();
    });
    const port = await serve(app);

    await request(port, { path: '/router/inside' });
    await Promise.all([outer.idle(), inner.idle()]);
    expect(settled.splice(0).sort()).toEqual(['inner: inside', 'outer: above']);

    await request(port, { path: '/beside' });
    await Promise.all([outer.idle(), inner.idle()]);
    expect(settled).toEqual(['outer: above', 'outer: beside']);
  });

  it('runs the tasks of a mounted application that has the same instance once', async () => {
    const ran: string[] = [];
    const background = makeBackground();
    const app = express();
    const mounted = express();
    mounted.use(background);
    mounted.get('/', (_req, res) => {
      res.locals.backgroundTasks.add(() => ran.push('mounted'));
      res.json({});
    });
    app.use(background);
    app.use((_req, res, next) => {
      res.locals.backgroundTasks.add(() => ran.push('application'));
      next();
    });
    app.use('/mounted', mounted);
    await request(await serve(app), { path: '/mounted' });
    await background.idle();
    expect(ran).toEqual(['application', 'mounted']);
  });
});

/** No promise, and yet `await` takes it for one. */
function thenable(then: (yes: (value: unknown) => void, no: (thrown: unknown) => void) => void): unknown {
  return Object.fromEntries([['then', then]]);
}

function raise(thrown: unknown): never {
  throw thrown;
}

function recorder(lines: unknown[][], onLine?: () => void): Logger {
  const at =
    (level: string) =>
    (...line: unknown[]): void => {
      if (level !== 'debug') lines.push([level, ...line]);
      onLine?.();
    };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

/** As Express does it where there is Express. */
function redirect(res: ServerResponse, url: string): void {
  if ('redirect' in res) (res as ServerResponse & { redirect(url: string): void }).redirect(url);
  else res.writeHead(302, { Location: url }).end();
}

/** As Express does it where there is Express: `send` looks at the request's If-None-Match. */
function sendUnlessFresh(res: ServerResponse, etag: string, body: string): void {
  res.setHeader('ETag', etag);
  if ('send' in res) (res as ServerResponse & { send(body: string): void }).send(body);
  else res.writeHead(304).end();
}
