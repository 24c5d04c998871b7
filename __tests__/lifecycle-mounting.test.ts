/** The lifecycle contract, row by row: the middleware mounted twice, beside other instances, and on a `res.locals` that others change. */
import { describe, expect, it } from '@jest/globals';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { expresses, frameworks, type Middleware, serve, type TaskedResponse } from './support/servers.ts';

describe.each(frameworks)('under $name', (framework) => {
  it('leaves nothing in res.locals that nobody has put there', async () => {
    const listener = framework.listener([makeBackground()], (_req, res) => {
      res.end(String(Reflect.ownKeys(res.locals)) + String(Object.getPrototypeOf(res.locals)));
    });
    expect((await request(await serve(listener))).body).toMatch(/backgroundTasksnull$/);
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
