/** When a response has ended and how, under HTTP/2. */
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import type { BackgroundTasks, TaskHandle, TaskList } from 'express-background-tasks';
import { atEnd, makeBackground } from './support/cleanup.ts';
import { makeGate } from './support/gates.ts';
import { ABORTED, SENT } from './support/outcomes.ts';

describe('under HTTP/2', () => {
  type Response = Http2ServerResponse & { locals: { backgroundTasks: TaskList } };

  async function startHttp2(
    handler: (req: Http2ServerRequest, res: Response) => void,
  ): Promise<{ background: BackgroundTasks; session: ClientHttp2Session }> {
    const background = makeBackground();
    const server = createHttp2Server((req, res) => background(req, res, () => handler(req, res as Response)));
    const sessions = new Set<ServerHttp2Session>();
    server.on('session', (session) => sessions.add(session));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    session.on('error', () => {});
    atEnd(() => {
      session.destroy();
      for (const serverSession of sessions) serverSession.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
    return { background, session };
  }

  /** Sends a request, and leaves the answer unread if `reading` is `false`. */
  function ask(session: ClientHttp2Session, headers: Record<string, string> = {}, { reading = true } = {}) {
    const stream = session.request({ ':path': '/', ...headers });
    stream.on('error', () => {});
    if (reading) stream.resume();
    return stream;
  }

  it('tells that the response was sent, and its status', async () => {
    const added = makeGate<TaskHandle>();
    const { session } = await startHttp2((_req, res) => {
      added.open(res.locals.backgroundTasks.add(() => res.stream.writableFinished));
      res.writeHead(201);
      res.write('a part, ');
      res.end('and the rest');
    });
    ask(session);
    expect(await (await added.opened).settled).toMatchObject({
      value: true,
      response: { ended: 'sent', statusCode: 201 },
    });
  });

  it.each(['HEAD', 'GET'])('tells that an answer without a body was sent, to %s', async (method) => {
    const added = makeGate<TaskHandle>();
    const { session } = await startHttp2((_req, res) => {
      added.open(res.locals.backgroundTasks.add(() => 'ran'));
      res.writeHead(204);
      res.end();
    });
    ask(session, { ':method': method });
    expect(await (await added.opened).settled).toMatchObject({
      value: 'ran',
      response: { ended: 'sent', statusCode: 204 },
    });
  });

  it.each<[string, (stream: ReturnType<typeof ask>, session: ClientHttp2Session) => void]>([
    ['cancels its stream', (stream) => stream.close(constants.NGHTTP2_CANCEL)],
    ['destroys its session', (_stream, session) => session.destroy()],
  ])('tells that the response was aborted, when the client %s', async (_how, abort) => {
    const added = makeGate<TaskHandle>();
    const { session } = await startHttp2((_req, res) => {
      added.open(res.locals.backgroundTasks.add(() => 'ran'));
      res.write('a part');
    });
    const stream = ask(session);
    await new Promise((resolve) => stream.once('response', resolve));
    abort(stream, session);
    expect(await (await added.opened).settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('tells that the response was aborted, when the server destroys it', async () => {
    const added = makeGate<TaskHandle>();
    const { session } = await startHttp2((_req, res) => {
      added.open(res.locals.backgroundTasks.add(() => 'ran'));
      res.write('a part');
      setImmediate(() => res.stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    });
    ask(session);
    expect(await (await added.opened).settled).toMatchObject({ value: 'ran', response: ABORTED });
  });

  it('starts what is added after the response was sent', async () => {
    const added = makeGate<TaskHandle>();
    const { session } = await startHttp2((_req, res) => {
      res.once('close', () => added.open(res.locals.backgroundTasks.add(() => 'late')));
      res.end('all of it');
    });
    ask(session);
    expect(await (await added.opened).settled).toMatchObject({ value: 'late', response: SENT });
  });

  it.each<[string, (res: Response) => unknown]>([
    ['is given up by its handler', () => {}],
    ['is answered all the same', (res) => res.end('to nobody')],
  ])('starts what is added after the client has gone, when the response %s', async (_how, answer) => {
    const added = makeGate<TaskHandle>();
    const arrived = makeGate();
    const { session } = await startHttp2((_req, res) => {
      res.once('close', () => {
        added.open(res.locals.backgroundTasks.add(() => 'late'));
        answer(res);
      });
      arrived.open();
    });
    const stream = ask(session);
    await arrived.opened;
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await (await added.opened).settled).toMatchObject({ value: 'late', response: ABORTED });
  });

  it('gives each stream of a session its own list', async () => {
    const handles = new Map<string, TaskHandle>();
    const responses = new Map<string, Response>();
    const bothArrived = makeGate();
    const { session } = await startHttp2((req, res) => {
      handles.set(
        req.url,
        res.locals.backgroundTasks.add(() => req.url),
      );
      responses.set(req.url, res);
      if (responses.size === 2) bothArrived.open();
    });
    ask(session, { ':path': '/1' });
    ask(session, { ':path': '/2' });
    await bothArrived.opened;
    responses.get('/2')?.end('second');
    expect(await handles.get('/2')?.settled).toMatchObject({ value: '/2', response: SENT });
    expect(handles.get('/1')?.state).toBe('waiting');
    responses.get('/1')?.end('first');
    expect(await handles.get('/1')?.settled).toMatchObject({ value: '/1', response: SENT });
  });

  it.each(['before', 'after'])(
    'does not start a task before a slow client has read; added %s the end',
    async (when) => {
      const body = Buffer.alloc(1024 * 1024, 'x');
      const added = makeGate<TaskHandle>();
      const { background, session } = await startHttp2((req, res) => {
        if (req.url === '/other') {
          res.end();
          return;
        }
        if (when === 'after') res.end(body);
        added.open(res.locals.backgroundTasks.add(() => res.stream.writableFinished));
        if (when === 'before') res.end(body);
      });
      const stream = ask(session, {}, { reading: false });
      const handle = await added.opened;
      for (let round = 0; round < 5; round += 1) {
        const other = ask(session, { ':path': '/other' });
        await new Promise((resolve) => other.once('close', resolve));
        await background.add(() => {}).settled;
      }
      expect(handle.state).toBe('waiting');
      stream.resume();
      expect(await handle.settled).toMatchObject({ value: true, response: SENT });
    },
  );
});
