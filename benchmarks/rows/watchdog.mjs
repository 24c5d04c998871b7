import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { compareServers, serve } from '../support/servers.mjs';

export const row = {
  title: 'request with one event-loop task, watched',
  what: 'The same server as in `one-task`, with `watchdog: { threshold: 50, stacks: true }`, its thread on the same core.',
  rival: 'the same server with `watchdog: false`',
  toReach: { atLeast: 0.99 },
};

let calls = 0;

async function count(step) {
  calls += step;
}

function serveWith(watchdog) {
  const app = express();
  const background = backgroundTasks({ watchdog });
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

export const ours = () => serveWith({ threshold: 50, stacks: true });
export const rival = () => serveWith(false);

export const measure = (settings) => compareServers(import.meta.url, settings);
