import { measureEngine } from '../support/engine-round-trips.mjs';
import { noPgBoss, startPostgres } from '../support/engine-servers.mjs';

export { ours, rival } from '../support/engine-sides.mjs';

export const row = {
  title: 'a durable task on Postgres',
  what: 'The same on Postgres. By hand it is `boss.send` with `startAfter`, `boss.update` on `finish`, and `boss.work` with the settings that make it fast.',
  rival: 'pg-boss by hand',
  toReach: { atMost: 1.15 },
};

export const cannotRun = noPgBoss;

export const measure = (settings) => measureEngine(import.meta.url, settings, startPostgres);
