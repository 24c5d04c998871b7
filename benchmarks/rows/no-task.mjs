import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { compareServers, serve } from '../support/servers.mjs';

export const row = {
  title: 'request without a task',
  what: 'An Express application with the middleware in front of its only route. The handler answers with a small JSON and adds no task. The further rival shows what Express itself takes for one more `app.use`.',
  rival: 'bare Express',
  others: { anyMiddleware: 'a middleware that does nothing' },
  toReach: { atLeast: 0.98 },
};

function serveHello(...middleware) {
  const app = express();
  for (const each of middleware) app.use(each);
  app.get('/', (_req, res) => res.json({ message: 'Hello' }));
  return serve(app);
}

export const ours = () => serveHello(backgroundTasks());
export const rival = () => serveHello();
export const anyMiddleware = () => serveHello((_req, _res, next) => next());

export const measure = (settings) =>
  compareServers(import.meta.url, settings, {
    others: ['anyMiddleware'],
    title: 'A request without a task',
    labels: { ours: 'ours', rival: 'bare Express', anyMiddleware: 'any middleware' },
  });
