/** Follows durable tasks, which run in another process: asks the engine about them, and sends events as if they ran here. */
import { setTimeout as delay } from 'node:timers/promises';
import { viewOf } from './view.js';

const BETWEEN_LOOKS = 100;

/** @returns `follow(id)`, which reports by `send(event, task)` */
export function createFollower(background, send) {
  const followed = new Map();
  let isLooking = false;

  async function look() {
    isLooking = true;
    while (followed.size > 0) {
      await Promise.all([...followed].map(([id, seen]) => lookAt(id, seen).catch(() => {})));
      // The engine may be away: the tasks go on unobserved, and this timer must not keep the process alive.
      await delay(BETWEEN_LOOKS, undefined, { ref: false });
    }
    isLooking = false;
  }

  async function lookAt(id, seen) {
    const task = await background.find(id);
    const now = performance.now();
    if (task === undefined) followed.delete(id);
    else if (task.state === 'held' || task.state === 'waiting') seen.waitingAt = now;
    else tell(task, seen, now);
  }

  /** Its times are those of the queries: it has run since the last one that found it waiting. */
  function tell(task, seen, now) {
    const told = { ...task, executor: 'worker-process', waitedMs: seen.waitingAt - seen.handedOverAt };
    if (!seen.hasStarted) send('started', { ...viewOf(told), attempt: task.attempts });
    seen.hasStarted = true;
    if (task.state !== 'completed' && task.state !== 'failed') return;
    followed.delete(task.id);
    send('settled', viewOf({ ...told, ranMs: now - seen.waitingAt }));
  }

  return function follow(id) {
    const now = performance.now();
    followed.set(id, { handedOverAt: now, waitingAt: now });
    if (!isLooking) look();
  };
}
