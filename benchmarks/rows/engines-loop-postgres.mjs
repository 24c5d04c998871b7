import { loopRow, measureLoop } from '../support/engine-loop.mjs';
import { noPgBoss, startPostgres } from '../support/engine-servers.mjs';

export { bare, byHand, ours, rival } from '../support/engine-loop.mjs';

export const row = loopRow({ on: 'Postgres', byHand: 'pg-boss by hand' });

export const cannotRun = noPgBoss;

export const measure = (settings) => measureLoop(import.meta.url, settings, startPostgres);
