/** What becomes of a durable task, which runs in another process: asked of the engine, and told as if it ran here. */
import { setTimeout as delay } from 'node:timers/promises';
import { viewOf } from './view.js';

const BETWEEN_LOOKS = 100;

/** @returns `follow(id)`; it tells by `send(event, task)`, and stops when `signal` aborts */
export function createFollower(background, send, signal) {
  return async function follow(id) {
    const handedOverAt = performance.now();
    let startedAt;
    try {
      for (;;) {
        const task = await background.find(id);
        const times = () => ({ waitedMs: (startedAt ?? performance.now()) - handedOverAt, executor: 'worker' });
        if (task?.state !== 'waiting' && startedAt === undefined) {
          startedAt = performance.now();
          send('started', { ...viewOf({ ...task, ...times() }), attempt: task.attempts });
        }
        if (task?.state === 'completed' || task?.state === 'failed') {
          send('settled', viewOf({ ...task, ...times(), ranMs: performance.now() - startedAt }));
          return;
        }
        await delay(BETWEEN_LOOKS, undefined, { signal });
      }
    } catch {
      // The server ends, or the engine is away: the task goes on without a spectator.
    }
  };
}
