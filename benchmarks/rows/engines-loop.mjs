import { loopRow, measureLoop } from '../support/engine-loop.mjs';
import { noRedis, startRedis } from '../support/engine-servers.mjs';

export { bare, byHand, ours, rival } from '../support/engine-loop.mjs';

export const row = loopRow({ on: 'Redis', byHand: 'BullMQ by hand' });

export const cannotRun = noRedis;

export const measure = (settings) => measureLoop(import.meta.url, settings, startRedis);
