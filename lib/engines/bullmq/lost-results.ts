/** Why Redis keeps nothing of what a task comes to in a worker: BullMQ names the job and its own scripts, and says it several times. */
import { describeName } from '../../describe.ts';

const IS_REMOVED = /^Missing key for job (.+)\. \w+$/s;
const HAS_NO_LOCK = [
  /^could not renew lock for job (.+)$/s,
  /^Missing lock for job (.+)\. \w+$/s,
  /^Lock mismatch for job (.+)\. Cmd /s,
  /^Job (.+) is not in the active state\. \w+$/s,
];

/** @returns the error itself if it is about something else. */
export function lostResult(error: Error, lockDuration: number): Error {
  const { message: cause } = error;
  const removed = IS_REMOVED.exec(cause)?.[1];
  if (removed !== undefined) return notKept(removed, 'it was removed from Redis while it ran', error);
  const unlocked = HAS_NO_LOCK.map((said) => said.exec(cause)?.[1]).find((id) => id !== undefined);
  if (unlocked === undefined) return error;
  const why = `its lock was not renewed within ${lockDuration} ms, or was removed, and another worker may have been given it`;
  return notKept(unlocked, why, error);
}

function notKept(id: string, why: string, cause: Error): Error {
  return new Error(`What task ${describeName(id)} comes to here is not kept: ${why}.`, { cause });
}
