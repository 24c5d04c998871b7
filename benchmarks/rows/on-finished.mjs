import express from 'express';
import onFinished from 'on-finished';
import { compareServers, serve } from '../support/servers.mjs';

// Not a figure of the package: it is the floor of `one-task` for whatever learns of a response's end from on-finished.
export const row = {
  title: 'request with `onFinished` by hand',
  what: 'The handler calls `onFinished(res, …)` with a function that does next to nothing, behind a middleware that does nothing, and answers with a small JSON.',
  rival: "`res.on('finish')` by hand",
  toReach: {},
};

let calls = 0;

async function count(step) {
  calls += step;
}

export function ours() {
  const app = express();
  app.use((_req, _res, next) => next());
  app.get('/', (_req, res) => {
    onFinished(res, () => count(1));
    res.json({ message: 'Hello' });
  });
  return serve(app, () => calls);
}

// The same server that `one-task` is held against: the two rows are to be compared.
export { rival } from './one-task.mjs';

export const measure = (settings) => compareServers(import.meta.url, settings);
