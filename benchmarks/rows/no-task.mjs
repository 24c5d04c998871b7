import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { compareServers, serve } from '../support/servers.mjs';

export const row = {
  title: 'request without a task',
  what: 'An Express application with the middleware in front of its only route. The handler answers with a small JSON and adds no task.',
  rival: 'bare Express',
  toReach: { atLeast: 0.98 },
};

export function ours() {
  const app = express();
  app.use(backgroundTasks());
  app.get('/', (_req, res) => res.json({ message: 'Hello' }));
  return serve(app);
}

export function rival() {
  const app = express();
  app.get('/', (_req, res) => res.json({ message: 'Hello' }));
  return serve(app);
}

export const measure = (settings) => compareServers(import.meta.url, settings);
