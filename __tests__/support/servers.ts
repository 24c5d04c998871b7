/** The four ways to mount the middleware, behind one signature, and servers for them on a real port. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import connect from 'connect';
import express from 'express';
import type { BackgroundTasks, BackgroundTasksOptions, TaskList } from 'express-background-tasks';
import { atEnd, makeBackground } from './cleanup.ts';
import { request } from './clients.ts';
import { makeGate } from './gates.ts';

// The alias has no types of its own; the parts used here are the same in both versions.
const express4 = createRequire(import.meta.url)('express4') as typeof express;

export type Next = (error?: unknown) => void;
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: Next) => void;
export type Listener = (req: IncomingMessage, res: ServerResponse) => void;

/** A response that has passed the middleware. */
export type TaskedResponse = ServerResponse & { locals: Record<string, unknown> & { backgroundTasks: TaskList } };

/** A handler as any of the four can call it. */
export type Handler = (req: IncomingMessage, res: TaskedResponse, next: Next) => unknown;

export interface Framework {
  readonly name: string;
  /** Makes what a server calls for every request: the middlewares, then the handler. */
  readonly listener: (middlewares: readonly Middleware[], handler: Handler) => Listener;
}

/** The frameworks that answer by themselves when a handler throws. */
export const errorAnswering: readonly Framework[] = [
  { name: 'Express 5', listener: (middlewares, handler) => mount(express(), middlewares, handler) },
  { name: 'Express 4', listener: (middlewares, handler) => mount(express4(), middlewares, handler) },
  { name: 'Connect', listener: (middlewares, handler) => mount(connect(), middlewares, handler) },
];

export const bareHttp: Framework = { name: 'node:http', listener: chain };

export const frameworks: readonly Framework[] = [...errorAnswering, bareHttp];

/** The two that have routers. */
export const expresses: readonly { readonly name: string; readonly express: typeof express }[] = [
  { name: 'Express 5', express },
  { name: 'Express 4', express: express4 },
];

interface App {
  use(middleware: unknown): unknown;
}

function mount<T extends App>(app: T, middlewares: readonly Middleware[], handler: Handler): T & Listener {
  for (const middleware of middlewares) app.use(middleware);
  app.use(handler);
  return app as T & Listener;
}

/** As an application without a framework would do it: an error becomes a 500 without a body. */
function chain(middlewares: readonly Middleware[], handler: Handler): Listener {
  const steps = [...middlewares, handler as unknown as Middleware];
  return (req, res) => {
    const proceed = (index: number, error?: unknown): void => {
      const step = steps[index];
      if (error !== undefined || step === undefined) {
        if (res.headersSent) return;
        res.statusCode = error === undefined ? 404 : 500;
        res.end();
        return;
      }
      try {
        step(req, res, (nextError) => proceed(index + 1, nextError));
      } catch (thrown) {
        proceed(index, thrown);
      }
    };
    proceed(0);
  };
}

export interface Started {
  readonly background: BackgroundTasks;
  readonly port: number;
}

/** One instance, one handler, one server. */
export async function start(
  framework: Framework,
  handler: Handler,
  options?: BackgroundTasksOptions,
): Promise<Started> {
  const background = makeBackground(options);
  return { background, port: await serve(framework.listener([background], handler)) };
}

/** Serves one request with the handler; resolves to what the handler returned, when the response has been read. */
export async function inRequest<T>(
  background: BackgroundTasks,
  handler: (tasks: TaskList, res: TaskedResponse) => T,
): Promise<T> {
  const returned = makeGate<T>();
  const listener = bareHttp.listener([background], (_req, res) => {
    returned.open(handler(res.locals.backgroundTasks, res));
    res.end();
  });
  await request(await serve(listener));
  return returned.opened;
}

/** Starts a server on a free port of the loopback interface; it ends with the test. */
export async function serve(listener: Listener): Promise<number> {
  return listen(createServer(listener));
}

/** The same for a server that the test has made. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  return (server.address() as AddressInfo).port;
}
