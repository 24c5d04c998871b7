/** The lifecycle contract, row by row: what a client is answered when a task is refused. */
import { describe, expect, it } from '@jest/globals';
import { makeBackground } from './support/cleanup.ts';
import { request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { errorAnswering, type Framework, type Handler, serve, start, type TaskedResponse } from './support/servers.ts';
import { work } from './support/time.ts';

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
