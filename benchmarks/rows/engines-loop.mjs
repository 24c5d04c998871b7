import { noRedis, startRedis } from '../support/engine-servers.mjs';
import { measureLoop, ours as openOurs } from '../support/engine-sides.mjs';

const RATE = 50;

export const row = {
  title: `${RATE} durable tasks a second on Redis`,
  what: `How late timers of 1 ms are in a web process that stages and releases ${RATE} durable tasks a second, while a worker in another process runs them.`,
  rival: 'the same server without requests',
  toReach: { atMost: 1.2 },
};

const at = async (rate) => ({ ...(await openOurs()), rate: () => rate });

export const ours = () => at(RATE);
export const rival = () => at(0);

export const cannotRun = noRedis;

export const measure = (settings) => measureLoop(import.meta.url, settings, startRedis);
