import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { compareServers, serve } from '../support/servers.mjs';

export const row = {
  title: 'request with one event-loop task',
  what: 'The handler adds one asynchronous function, which does next to nothing, and answers with a small JSON.',
  rival: "`res.on('finish')` by hand",
  toReach: { atLeast: 0.95 },
};

let calls = 0;

async function count(step) {
  calls += step;
}

/** The server of this row, by the options of the middleware. */
export function serveTasks(options) {
  const app = express();
  const background = backgroundTasks(options);
  app.use(background);
  app.get('/', (_req, res) => {
    res.locals.backgroundTasks.add(count, 1);
    res.json({ message: 'Hello' });
  });
  return serve(app, async () => {
    await background.idle();
    return calls;
  });
}

export const ours = () => serveTasks();

export function rival() {
  const app = express();
  app.get('/', (_req, res) => {
    res.on('finish', () => count(1));
    res.json({ message: 'Hello' });
  });
  return serve(app, () => calls);
}

export const measure = (settings) => compareServers(import.meta.url, settings);
