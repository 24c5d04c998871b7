/** When a response has ended and how, in the cases that on-finished's own tests name and in some that they do not. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import type { BackgroundTasks, TaskHandle, TaskList } from 'express-background-tasks';
import onFinished from 'on-finished';
import { makeBackground } from './support/cleanup.ts';
import { getText, RawClient, request } from './support/clients.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT } from './support/outcomes.ts';
import { surviveThrows } from './support/process-faults.ts';
import {
  bareHttp,
  expresses,
  inRequest,
  type Listener,
  listen,
  serve,
  start,
  type TaskedResponse,
} from './support/servers.ts';
import { watchWarnings } from './support/warnings.ts';

/** Starts a server whose handler answers with the handle of its task, and sends it one request. */
async function startAndAsk(
  handler: (res: TaskedResponse) => TaskHandle,
  text = getText(),
): Promise<{ client: RawClient; handle: TaskHandle }> {
  const added = makeGate<TaskHandle>();
  const { port } = await start(bareHttp, (_req, res) => added.open(handler(res)));
  const client = await RawClient.connect(port);
  client.send(text);
  return { client, handle: await added.opened };
}

describe('when the response finishes', () => {
  it('starts what was added before', async () => {
    const { handle } = await startAndAsk((res) => {
      setImmediate(() => res.end());
      return res.locals.backgroundTasks.add(() => 'ran');
    });
    expect(await handle.settled).toMatchObject({ value: 'ran', response: SENT });
  });

  it('starts what is added between end() and the finish', async () => {
    const { handle } = await startAndAsk((res) => {
      res.end('short');
      return res.locals.backgroundTasks.add(() => res.writableFinished);
    });
    expect(await handle.settled).toMatchObject({ value: true, response: SENT });
  });

  it.each(['finish', 'close'] as const)('starts what is added at its `%s` event', async (event) => {
    const added = makeGate<TaskHandle>();
    const { port } = await start(bareHttp, (_req, res) => {
      res.once(event, () => added.open(res.locals.backgroundTasks.add(() => 'late')));
      res.end();
    });
    await request(port);
    expect(await (await added.opened).settled).toMatchObject({ value: 'late', response: SENT });
  });

  it('starts what is added long after, on a connection that has served others since', async () => {
    const lists: TaskList[] = [];
    const { port } = await start(bareHttp, (req, res) => {
      lists.push(res.locals.backgroundTasks);
      res.end(`answer to ${req.url}.`);
    });
    const client = await RawClient.connect(port);
    for (const path of ['/1', '/2']) {
      client.send(getText(path));
      await client.until(new RegExp(`answer to ${path}\\.`));
    }
    const outcome = await lists[0]?.add(() => 'late').settled;
    expect(outcome).toMatchObject({ value: 'late', response: SENT });
  });

  it('tells the same of a response that was sent, when the task comes after the connection is gone', async () => {
    const lists: TaskList[] = [];
    const { port } = await start(bareHttp, (_req, res) => {
      lists.push(res.locals.backgroundTasks);
      res.end('all of it');
    });
    const client = await RawClient.connect(port);
    client.send(getText('/', ['Connection: close']));
    await client.closed;
    expect(await lists[0]?.add(() => 'late').settled).toMatchObject({ value: 'late', response: SENT });
  });

  it('starts what is added afterwards, though the application has given the response a `stream` of its own', async () => {
    const background = makeBackground();
    const list = await inRequest(background, (tasks, res) => {
      Object.assign(res, { stream: () => res });
      return tasks;
    });
    expect(await list.add(() => 'late').settled).toMatchObject({ value: 'late', response: SENT });
  });

  it.each<[string, (res: ServerResponse, listener: () => void) => unknown]>([
    ['at `finish`', (res, listener) => res.once('finish', listener)],
    ['by on-finished, as many a logger of requests does', onFinished],
  ])('starts them though another listener of the end throws, %s', async (_how, listenTo) => {
    const thrown = await surviveThrows(async () => {
      const { client, handle } = await startAndAsk((res) => {
        listenTo(res, () => {
          throw new Error('on purpose');
        });
        setImmediate(() => res.end('all of it'));
        return res.locals.backgroundTasks.add(() => 'ran');
      });
      expect(await handle.settled).toMatchObject({ value: 'ran', response: SENT });
      expect(client.socket.closed).toBe(false);
    });
    expect(thrown).toEqual([new Error('on purpose')]);
  });

  it('keeps the async local store of the place of each add, late ones included', async () => {
    const storage = new AsyncLocalStorage<string>();
    const { handle } = await startAndAsk((res) => {
      const tasks = res.locals.backgroundTasks;
      const early = storage.run('early', () => tasks.add(() => storage.getStore()));
      setImmediate(() => res.end());
      return tasks.add(async () => {
        const late = storage.run('late', () => tasks.add(() => storage.getStore()));
        return [(await early.settled).value, (await late.settled).value, storage.getStore()];
      });
    });
    expect((await handle.settled).value).toEqual(['early', 'late', undefined]);
  });
});

describe('when the connection is kept alive', () => {
  it('starts the tasks of each response once', async () => {
    const ran: (string | undefined)[] = [];
    const { background, port } = await start(bareHttp, (req, res) => {
      res.locals.backgroundTasks.add(() => ran.push(req.url));
      res.end(`answer to ${req.url}.`);
    });
    const client = await RawClient.connect(port);
    for (const path of ['/1', '/2', '/3']) {
      client.send(getText(path));
      await client.until(new RegExp(`answer to ${path}\\.`));
      await background.idle();
    }
    expect(ran).toEqual(['/1', '/2', '/3']);
    client.hangUp();
    await client.closed;
    await background.idle();
    expect(background.stats()).toMatchObject({ added: 3, settled: 3, outcomes: { completed: 3 } });
  });
});

describe('when requests are pipelined', () => {
  /** Sends this many requests at once, and waits until a handler has been called for each. */
  async function pipeline(
    count: number,
    onRequest: (res: TaskedResponse, number: number) => void,
  ): Promise<{ background: BackgroundTasks; client: RawClient; responses: TaskedResponse[] }> {
    const responses: TaskedResponse[] = [];
    const arrived = makeGate();
    const { background, port } = await start(bareHttp, (_req, res) => {
      responses.push(res);
      onRequest(res, responses.length);
      if (responses.length === count) arrived.open();
    });
    const client = await RawClient.connect(port);
    client.send(Array.from({ length: count }, (_, index) => getText(`/${index + 1}`)).join(''));
    await arrived.opened;
    return { background, client, responses };
  }

  it('starts the tasks of each when it was sent itself', async () => {
    const handles: TaskHandle[] = [];
    const { client, responses } = await pipeline(2, (res) => {
      handles.push(res.locals.backgroundTasks.add(() => 'ran'));
    });
    const [first, second] = responses;
    // Only the first may write: the second has no socket yet.
    expect(second?.socket).toBeNull();
    first?.end('response a');
    expect(await handles[0]?.settled).toMatchObject({ state: 'completed', response: SENT });
    expect(handles[1]?.state).toBe('waiting');
    second?.end('response b');
    expect(await handles[1]?.settled).toMatchObject({ state: 'completed', response: SENT });
    await client.until(/response a.*response b/s);
  });

  it('does not start the tasks of one that has ended before its turn', async () => {
    const handles: TaskHandle[] = [];
    const { responses } = await pipeline(2, (res, number) => {
      if (number === 2) res.end('response b');
      handles.push(res.locals.backgroundTasks.add(() => responses[1]?.writableFinished));
    });
    const [first] = responses;
    first?.write('part of a');
    first?.end('response a');
    expect(await handles[1]?.settled).toMatchObject({ value: true, response: SENT });
    expect(await handles[0]?.settled).toMatchObject({ response: SENT });
  });

  it('loses no task of those whose turn never comes, since the client hangs up', async () => {
    const handles: TaskHandle[] = [];
    const { client, background } = await pipeline(3, (res, number) => {
      handles.push(res.locals.backgroundTasks.add(() => number));
      handles.push(res.locals.backgroundTasks.add(() => number));
      if (number === 3) res.end('ready, and never sent');
    });
    client.hangUp();
    const outcomes = await Promise.all(handles.map(({ settled }) => settled));
    expect(outcomes.map(({ value }) => value)).toEqual([1, 1, 2, 2, 3, 3]);
    for (const { response } of outcomes) expect(response).toEqual(ABORTED);
    expect(background.stats()).toMatchObject({ added: 6, settled: 6 });
  });

  it('loses no task that is added to one whose turn never came, after the client has hung up', async () => {
    const { client, background, responses } = await pipeline(3, () => {});
    const gone = new Promise((resolve) => responses[0]?.once('close', resolve));
    client.hangUp();
    await gone;
    const [first, second, third] = responses;
    third?.end('to nobody');
    const handles = [first, second, third].map((res) => res?.locals.backgroundTasks.add(() => 'late'));
    second?.end('to nobody');
    const outcomes = await Promise.all(handles.map((handle) => handle?.settled));
    for (const outcome of outcomes) expect(outcome).toMatchObject({ value: 'late', response: ABORTED });
    expect(background.stats()).toMatchObject({ added: 3, settled: 3 });
  });

  it.each(['before', 'after'])(
    'tells that one was aborted, which the server destroys; task added %s that',
    async (when) => {
      const { client, responses } = await pipeline(2, () => {});
      const [first, second] = responses;
      if (when === 'after') second?.destroy();
      const handle = second?.locals.backgroundTasks.add(() => 'ran');
      if (when === 'before') second?.destroy();
      first?.end('response a');
      await client.until(/response a/);
      // Newer versions of Node leave the connection open, with nothing to come.
      client.hangUp();
      expect(await handle?.settled).toMatchObject({ value: 'ran', response: ABORTED });
    },
  );

  it('prints no warning for thirty on one socket, answered or not', async () => {
    const warnings = watchWarnings();
    const { background, client, responses } = await pipeline(30, (res) => {
      res.locals.backgroundTasks.add(() => {});
    });
    for (const res of responses.slice(0, 15)) res.end('answered.');
    await client.until(/(answered\..*){15}/s);
    client.hangUp();
    await background.idle();
    expect(background.stats()).toMatchObject({ added: 30, settled: 30, outcomes: { completed: 30 } });
    expect(await warnings()).toEqual([]);
  });
});

describe('when the response errors or is cut off', () => {
  it('tells that it was aborted, when the client breaks the protocol', async () => {
    const { client, handle } = await startAndAsk(
      (res) => res.locals.backgroundTasks.add(() => 'ran'),
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    client.send('W');
    expect(await handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells that it was aborted, when the client hangs up', async () => {
    const { client, handle } = await startAndAsk((res) => res.locals.backgroundTasks.add(() => 'ran'));
    client.hangUp();
    expect(await handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells that it was aborted, when the client resets the connection', async () => {
    const { client, handle } = await startAndAsk((res) => {
      res.write('a part');
      return res.locals.backgroundTasks.add(() => 'ran');
    });
    await client.until(/a part/);
    client.socket.resetAndDestroy();
    expect(await handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells by writableFinished, and gives the status that was set', async () => {
    const { client, handle } = await startAndAsk((res) => {
      res.writeHead(418);
      res.write('a part');
      return res.locals.backgroundTasks.add(() => res.writableFinished);
    });
    await client.until(/a part/);
    client.hangUp();
    expect(await handle.settled).toMatchObject({ value: false, response: { ended: 'aborted', statusCode: 418 } });
  });

  it.each<[string, (res: ServerResponse) => unknown]>([
    ['by res.destroy() before the headers', (res) => res.destroy()],
    ['by res.destroy() with an error', (res) => res.destroy(new Error('on purpose'))],
    [
      'by res.destroy() in the middle',
      (res) => {
        res.write('a part');
        res.destroy();
      },
    ],
    ['by the destruction of its socket', (res) => res.socket?.destroy()],
    [
      'by the destruction of its socket in the middle',
      (res) => {
        res.write('a part');
        res.socket?.destroy();
      },
    ],
  ])('tells that it was aborted, when the server does it %s', async (_how, destroy) => {
    const before = await startAndAsk((res) => {
      res.on('error', () => {});
      setImmediate(destroy, res);
      return res.locals.backgroundTasks.add(() => 'ran');
    });
    expect(await before.handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
    const after = await startAndAsk((res) => {
      res.on('error', () => {});
      destroy(res);
      return res.locals.backgroundTasks.add(() => 'ran');
    });
    expect(await after.handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells that it was sent, when a listener destroys the connection as soon as it has finished', async () => {
    const { client, handle } = await startAndAsk((res) => {
      res.once('finish', () => res.req.socket.destroy());
      setImmediate(() => res.end('all of it'));
      return res.locals.backgroundTasks.add(() => 'ran');
    });
    await client.closed;
    expect(client.received).toMatch(/all of it/);
    expect(await handle.settled).toMatchObject({ value: 'ran', response: SENT });
  });

  it('tells that it was sent, when the client closes its half and reads on', async () => {
    const added = makeGate<{ handle: TaskHandle; res: TaskedResponse }>();
    const background = makeBackground();
    const listener = bareHttp.listener([background], (req, res) => {
      const handle = res.locals.backgroundTasks.add(() => 'ran');
      req.resume().on('end', () => added.open({ handle, res }));
    });
    const client = await RawClient.connect(await serve(listener));
    client.send(getText('/', ['Connection: close']));
    const { handle, res } = await added.opened;
    res.write('the first half, ');
    await client.until(/the first half, /);
    res.end('the second half');
    client.socket.end();
    await client.until(/the second half/);
    expect(await handle.settled).toMatchObject({ value: 'ran', response: SENT });
  });

  it('starts the tasks at the end of a timeout that the server sets', async () => {
    const { handle } = await startAndAsk((res) => {
      res.setTimeout(20);
      return res.locals.backgroundTasks.add(() => 'ran');
    });
    expect(await handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });
});

describe('when a response is made up for a connection, and tells nothing but its events, as that which Socket.IO gives to middlewares', () => {
  it('starts the tasks when the connection closes', async () => {
    const added = makeGate<TaskHandle>();
    const background = makeBackground();
    const server = createServer().on('upgrade', (req, socket) => {
      const res = Object.assign(new EventEmitter(), { req, socket });
      socket.once('close', () => res.emit('close')).once('end', () => socket.destroy());
      socket.on('data', (chunk) => socket.write(chunk));
      background(req, res as unknown as ServerResponse, () => {
        added.open((res as unknown as TaskedResponse).locals.backgroundTasks.add(() => socket.destroyed));
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      });
    });
    const client = await RawClient.connect(await listen(server));
    client.send(getText('/', ['Connection: Upgrade', 'Upgrade: echo']));
    await client.until(/101/);
    client.send('again');
    await client.until(/again/);
    const handle = await added.opened;
    expect(handle.state).toBe('waiting');
    client.hangUp();
    expect(await handle.settled).toMatchObject({ value: true, response: { ended: 'aborted' } });
  });
});

describe('when many tasks are added to one response', () => {
  it('prints no warning', async () => {
    const warnings = watchWarnings();
    const ran: number[] = [];
    const { background, port } = await start(bareHttp, (_req, res) => {
      for (let number = 0; number < 400; number += 1) res.locals.backgroundTasks.add(() => ran.push(number));
      res.end();
      for (let number = 400; number < 800; number += 1) res.locals.backgroundTasks.add(() => ran.push(number));
    });
    await request(port);
    await background.idle();
    expect(ran).toEqual(Array.from({ length: 800 }, (_, number) => number));
    expect(await warnings()).toEqual([]);
  });
});

describe('when the client does not read', () => {
  // More than the kernel's buffers at both ends hold.
  const BODY = Buffer.alloc(32 * 1024 * 1024, 'x');

  /** Starts to send the body to a client that does not read it; `add` says when the task is added. */
  async function sendToSloth(
    addTo: (tasks: TaskList, res: TaskedResponse, look: () => unknown) => TaskHandle[],
  ): Promise<{ client: RawClient; handles: TaskHandle[] }> {
    const added = makeGate<TaskHandle[]>();
    const { background, port } = await start(bareHttp, (req, res) => {
      if (req.url === '/other') {
        res.end();
        return;
      }
      const { socket } = res;
      const look = (): unknown => ({ finished: res.writableFinished, unsent: socket?.writableLength });
      added.open(addTo(res.locals.backgroundTasks, res, look));
    });
    const client = await RawClient.connect(port, { reading: false });
    client.send(getText());
    const handles = await added.opened;
    // While these come and go, a task that starts too early has every opportunity to do so.
    for (let round = 0; round < 5; round += 1) {
      await request(port, { path: '/other' });
      await background.add(() => {}).settled;
    }
    for (const handle of handles) expect(handle.state).toBe('waiting');
    return { client, handles };
  }

  async function expectSentOnceRead({ client, handles }: { client: RawClient; handles: TaskHandle[] }): Promise<void> {
    client.socket.resume();
    for (const handle of handles) {
      expect(await handle.settled).toMatchObject({
        state: 'completed',
        value: { finished: true, unsent: 0 },
        response: SENT,
      });
    }
    // All but what the kernel still held had been read by then.
    expect(client.socket.bytesRead).toBeGreaterThan(BODY.length / 2);
  }

  it('starts no task that was added before the end, until the last byte is with the system', async () => {
    const sloth = await sendToSloth((tasks, res, look) => {
      const handle = tasks.add(look);
      res.end(BODY);
      return [handle];
    });
    await expectSentOnceRead(sloth);
  });

  it('starts no task that was added after the end, until the last byte is with the system', async () => {
    const sloth = await sendToSloth((tasks, res, look) => {
      res.end(BODY);
      return [tasks.add(look), tasks.add(look)];
    });
    await expectSentOnceRead(sloth);
  });

  it('starts no task of a streamed response, until the last byte is with the system', async () => {
    const sloth = await sendToSloth((tasks, res, look) => {
      res.write(BODY);
      res.end('the end');
      return [tasks.add(look)];
    });
    await expectSentOnceRead(sloth);
  });

  it.each(['before', 'after'])('tells that it was aborted, when it hangs up; task added %s the end', async (when) => {
    const { client, handles } = await sendToSloth((tasks, res) => {
      if (when === 'after') res.end(BODY);
      const handle = tasks.add(() => 'ran');
      if (when === 'before') res.end(BODY);
      return [handle];
    });
    client.hangUp();
    expect(await handles[0]?.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells that it was aborted, when the server ends it and destroys the connection at once', async () => {
    const { handle } = await startAndAsk((res) => {
      const added = res.locals.backgroundTasks.add(() => 'ran');
      // Up to Node 22 it finishes by that, and says so, though most of it was never sent.
      res.end(BODY).req.socket.destroy();
      return added;
    });
    expect(await handle.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells that it was aborted, when the server gives up', async () => {
    const responses: TaskedResponse[] = [];
    const { handles } = await sendToSloth((tasks, res) => {
      responses.push(res);
      res.end(BODY);
      return [tasks.add(() => 'ran')];
    });
    responses[0]?.destroy();
    expect(await handles[0]?.settled).toMatchObject({ value: 'ran', response: ABORTED });
  });
});

describe('when the client speaks HTTP/1.0 without keep-alive', () => {
  it.each([
    ['with a body of known length', (res: ServerResponse) => res.setHeader('Content-Length', 4).end('body')],
    ['with a body that ends with the connection', (res: ServerResponse) => res.write('bo') && res.end('dy')],
  ])('starts the tasks when the response was sent, %s', async (_how, answer) => {
    const { client, handle } = await startAndAsk((res) => {
      const added = res.locals.backgroundTasks.add(() => res.writableFinished);
      answer(res);
      return added;
    }, 'GET / HTTP/1.0\r\n\r\n');
    expect(await handle.settled).toMatchObject({ value: true, response: SENT });
    await client.closed;
    expect(client.received).toMatch(/body$/);
  });
});

describe.each(expresses)('when the client expects 100-continue, under $name', ({ express }) => {
  const headers = ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 4', 'Expect: 100-continue', '', ''].join(
    '\r\n',
  );

  async function startApp(): Promise<{
    app: ReturnType<typeof express>;
    added: Promise<TaskHandle>;
    background: BackgroundTasks;
  }> {
    const added = makeGate<TaskHandle>();
    const background = makeBackground();
    const app = express();
    app.use(background);
    app.post('/', (req, res) => {
      added.open(res.locals.backgroundTasks.add(() => 'ran'));
      let body = '';
      req.on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () => res.send(`got ${body}`));
    });
    return { app, added: added.opened, background };
  }

  it.each<[string, (app: Listener) => Server]>([
    ['Node', (app) => createServer(app)],
    [
      'the application',
      (app) =>
        createServer().on('checkContinue', (req, res) => {
          res.writeContinue();
          app(req, res);
        }),
    ],
  ])('does not take the interim answer of %s for the end', async (_whose, makeServer) => {
    const { app, added, background } = await startApp();
    const client = await RawClient.connect(await listen(makeServer(app)));
    client.send(headers);
    await client.until(/100 Continue/);
    const handle = await added;
    expect(handle.state).toBe('waiting');
    client.send('body');
    await client.until(/got body/);
    expect(await handle.settled).toMatchObject({ state: 'completed', response: SENT });
    expect(background.stats()).toMatchObject({ added: 1, settled: 1 });
  });

  it('runs the tasks of a client that hangs up instead of sending its body', async () => {
    const { app, added } = await startApp();
    const client = await RawClient.connect(await serve(app));
    client.send(headers);
    await client.until(/100 Continue/);
    const handle = await added;
    client.hangUp();
    expect(await handle.settled).toMatchObject({ state: 'completed', response: ABORTED });
  });
});
