import { compareServers } from '../support/servers.mjs';
import { serveTasks } from './one-task.mjs';

export const row = {
  title: 'request with one event-loop task, watched',
  what: "The same server as in `one-task`, with `watchdog: { threshold: 50, stacks: true }`; the watchdog's thread is on the same core.",
  rival: 'the same server with `watchdog: false`',
  toReach: { atLeast: 0.99 },
};

export const ours = () => serveTasks({ watchdog: { threshold: 50, stacks: true } });
export const rival = () => serveTasks({ watchdog: false });

export const measure = (settings) =>
  compareServers(import.meta.url, settings, {
    title: 'A request with one event-loop task, watched',
    labels: { ours: 'watched', rival: 'not watched' },
  });
