import express from 'express';
import { compareServers, serve } from '../support/servers.mjs';

// Not a figure of the package: it tells how much of `no-task` is Express's price for one more `app.use`.
export const row = {
  title: 'request behind a middleware that does nothing',
  what: 'An Express application with `app.use((req, res, next) => next())` in front of its only route.',
  rival: 'bare Express',
  toReach: {},
};

export function ours() {
  const app = express();
  app.use((_req, _res, next) => next());
  app.get('/', (_req, res) => res.json({ message: 'Hello' }));
  return serve(app);
}

// The same server that `no-task` is held against: the two rows are to be compared.
export { rival } from './no-task.mjs';

export const measure = (settings) => compareServers(import.meta.url, settings);
