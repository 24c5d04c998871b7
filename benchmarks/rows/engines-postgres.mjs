import { noPostgres, startPostgres } from '../support/engine-servers.mjs';
import { measureEngine } from '../support/engine-sides.mjs';

export { ours, rival } from '../support/engine-sides.mjs';

export const row = {
  title: 'a durable task on Postgres',
  what: 'The same on Postgres. By hand it is `boss.send` with `startAfter`, `boss.update` on `finish`, and `boss.work` with the settings under which it is quick.',
  rival: 'pg-boss by hand',
  toReach: { atMost: 1.15 },
};

const isOld = Number.parseInt(process.versions.node, 10) < 22;
export const cannotRun = isOld ? 'pg-boss needs Node 22.12' : noPostgres;

export const measure = (settings) => measureEngine(import.meta.url, settings, startPostgres);
