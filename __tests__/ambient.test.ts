/** `addBackgroundTask()`: adding from code that was not handed the response. */
import { describe, expect, it } from '@jest/globals';
import { addBackgroundTask, type TaskHandle, type TaskList } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { bareHttp, errorAnswering, inRequest, type Middleware, serve } from './support/servers.ts';
import { work } from './support/time.ts';

const code = (expected: string): unknown => expect.objectContaining({ code: expected });

describe('addBackgroundTask()', () => {
  /** Code without the request, some awaits and other async resources away from the handler. */
  async function service(names: string[], name: string): Promise<TaskHandle> {
    await work(1);
    return new Promise((resolve) => {
      setImmediate(() => {
        process.nextTick(() => resolve(addBackgroundTask((word: string) => names.push(word), name)));
      });
    });
  }

  it.each([...errorAnswering, bareHttp])(
    'adds to the list of the request from deep code, under $name',
    async (framework) => {
      const background = makeBackground({ ambient: true });
      const ran: string[] = [];
      const listener = framework.listener([background], async (req, res) => {
        const handle = await service(ran, req.url as string);
        res.end(`${handle.state} ${[...res.locals.backgroundTasks].includes(handle)}`);
      });
      const port = await serve(listener);
      const paths = ['/1', '/2', '/3'];
      const answers = await Promise.all(paths.map((path) => request(port, { path })));
      await background.idle();
      for (const { body } of answers) expect(body).toBe('waiting true');
      expect(ran.sort()).toEqual(paths);
    },
  );

  it('adds to the list of its own request, when requests are pipelined', async () => {
    const background = makeBackground({ ambient: true });
    const lists = new Map<string, TaskList>();
    const listener = bareHttp.listener([background], async (req, res) => {
      lists.set(req.url as string, res.locals.backgroundTasks);
      await service([], req.url as string);
      res.end('answered.');
    });
    const client = await RawClient.connect(await serve(listener));
    client.send(getText('/1') + getText('/2'));
    await client.until(/answered\..*answered\./s);
    await background.idle();
    expect([...lists.values()].map(({ size }) => size)).toEqual([1, 1]);
  });

  it('in a task, adds to the list that the task was added to', async () => {
    const background = makeBackground({ ambient: true });
    const ran: string[] = [];
    const tasks = await inRequest(background, (list) => {
      list.add(async () => {
        await service(ran, 'child');
      });
      return list;
    });
    await background.idle();
    expect(ran).toEqual(['child']);
    expect(tasks.size).toBe(2);
  });

  it('adds to the nearest of two instances', async () => {
    const outer = makeBackground({ ambient: true });
    const inner = makeBackground({ ambient: true });
    const ran: string[] = [];
    const listener = bareHttp.listener([outer, inner], async (_req, res) => {
      await service(ran, 'inner');
      res.end();
    });
    await request(await serve(listener));
    await inner.idle();
    expect(ran).toEqual(['inner']);
    expect(outer.stats().added).toBe(0);
  });

  it('finds the list again behind what goes on in a listener of the request, if mounted a second time', async () => {
    const background = makeBackground({ ambient: true });
    const arrived = makeGate();
    const upload: Middleware = (req, _res, next) => {
      req.resume().on('end', () => next());
      arrived.open();
    };
    const sizes: number[] = [];
    const listener = bareHttp.listener([background, upload, background], (_req, res) => {
      addBackgroundTask(() => {});
      sizes.push(res.locals.backgroundTasks.size);
      res.end('answered.');
    });
    const client = await RawClient.connect(await serve(listener));
    client.send('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n');
    await arrived.opened;
    client.send('file');
    await client.until(/answered\./);
    expect(sizes).toEqual([1]);
  });

  it('throws what add throws', async () => {
    const background = makeBackground({ ambient: true, maxBacklog: 1 });
    const [express5] = errorAnswering;
    const listener = express5?.listener([background], () => {
      addBackgroundTask(() => {});
      addBackgroundTask(() => {});
    });
    expect((await request(await serve(listener as Parameters<typeof serve>[0]))).status).toBe(503);
  });

  it('throws outside a request', () => {
    makeBackground({ ambient: true });
    expect(() => addBackgroundTask(() => {})).toThrow(code('ERR_BACKGROUND_NO_REQUEST'));
  });

  it('throws in a request without the option, and says what to do', async () => {
    await inRequest(makeBackground(), () => {
      expect(() => addBackgroundTask(() => {})).toThrow(code('ERR_BACKGROUND_NO_REQUEST'));
      expect(() => addBackgroundTask(() => {})).toThrow(/ambient: true/);
    });
  });
});
