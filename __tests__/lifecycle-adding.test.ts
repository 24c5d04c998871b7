/** The lifecycle contract, row by row: what is added late, by tasks, beside other instances and in other contexts, and what is refused. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { currentTask, type TaskHandle } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT } from './support/outcomes.ts';
import {
  errorAnswering,
  expresses,
  type Framework,
  frameworks,
  type Handler,
  type Middleware,
  serve,
  start,
  type TaskedResponse,
} from './support/servers.ts';
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

  describe('when all responses share one `locals`', () => {
    it('gives each a list of its own', async () => {
      const lists: unknown[] = [];
      const background = makeBackground();
      const shared = {} as TaskedResponse['locals'];
      const share: Middleware = (_req, res, next) => {
        (res as TaskedResponse).locals = shared;
        next();
      };
      const listener = framework.listener([share, background], (_req, res) => {
        lists.push(res.locals.backgroundTasks);
        res.end();
      });
      const port = await serve(listener);
      await request(port);
      await request(port);
      expect(lists).toHaveLength(2);
      expect(lists[0]).not.toBe(lists[1]);
    });
  });

  describe('when user code replaces res.locals', () => {
    it('still serves code that holds the list, and gives a new one to the next mount', async () => {
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
    it('answers 503 with Retry-After to every request that adds a task, and serves the rest', async () => {
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
