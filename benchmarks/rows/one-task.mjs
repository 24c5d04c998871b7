import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import onFinished from 'on-finished';
import { compareServers, serve } from '../support/servers.mjs';

export const row = {
  title: 'request with one event-loop task',
  what: 'The handler adds one asynchronous function, which does next to nothing, and answers with a small JSON. The further rival shows the least that anything built on on-finished can cost: `onFinished(res, …)` in the handler, behind a middleware that does nothing.',
  rival: "`res.on('finish')` by hand",
  others: { onFinishedByHand: '`onFinished` by hand' },
  toReach: { atLeast: 0.95 },
};

let calls = 0;

async function count(step) {
  calls += step;
}

/** @param addTask `(res) => …`, in the handler before it answers. */
function serveWith(middleware, addTask, idle = () => {}) {
  const app = express();
  if (middleware !== undefined) app.use(middleware);
  app.get('/', (_req, res) => {
    addTask(res);
    res.json({ message: 'Hello' });
  });
  return serve(app, async () => {
    await idle();
    return calls;
  });
}

/** The server of this row, by the options of the middleware. */
export function serveTasks(options) {
  const background = backgroundTasks(options);
  return serveWith(
    background,
    (res) => res.locals.backgroundTasks.add(count, 1),
    () => background.idle(),
  );
}

export const ours = () => serveTasks();
export const rival = () => serveWith(undefined, (res) => res.on('finish', () => count(1)));
export const onFinishedByHand = () =>
  serveWith(
    (_req, _res, next) => next(),
    (res) => onFinished(res, () => count(1)),
  );

export const measure = (settings) =>
  compareServers(import.meta.url, settings, {
    others: ['onFinishedByHand'],
    title: 'A request with one event-loop task',
    labels: { ours: 'ours', rival: "res.on('finish')", onFinishedByHand: 'onFinished by hand' },
  });
