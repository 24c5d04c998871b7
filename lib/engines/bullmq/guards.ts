/**
 * Guards make BullMQ's scripts safe for holds, and for a Redis whose memory is full. A guard is put in front of BullMQ's own
 * script: both run as one, and Redis runs nothing in between.
 */

/**
 * When its memory is full, Redis refuses a script whose first write takes more, and lets one go on that has written: this
 * deletes what is not there. What is kept already must be worked off, or the memory would stay full.
 */
const ALSO_WHEN_FULL = `
redis.call('DEL', KEYS[1] .. ':none')
`;

/** A delayed job that was started before waits between two attempts. Its wait is not a hold: a release does not end it. */
const RELEASE = `
if redis.call('HEXISTS', ARGV[1] .. ARGV[2], 'processedOn') == 1 then return -3 end
`;

/**
 * BullMQ's own script removes finished jobs as well, and answers "removed" for a job that is not there. The key
 * `:discarded` answers a caller that asks again because the first answer was lost.
 */
const DISCARD = `
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('EXISTS', KEYS[1] .. ':discarded') end
if not redis.call('ZSCORE', ARGV[3] .. 'delayed', ARGV[1]) then return 0 end
if redis.call('HEXISTS', KEYS[1], 'processedOn') == 1 then return 0 end
${ALSO_WHEN_FULL}
redis.call('SET', KEYS[1] .. ':discarded', 1, 'PX', 600000)
`;

const GUARDS: Readonly<Record<string, string>> = {
  promote: RELEASE,
  removeJob: DISCARD,
  moveToActive: ALSO_WHEN_FULL,
  extendLocks: ALSO_WHEN_FULL,
  retryJob: ALSO_WHEN_FULL,
  moveToDelayed: ALSO_WHEN_FULL,
  moveStalledJobsToWait: ALSO_WHEN_FULL,
};

export const guardedScripts: readonly string[] = Object.keys(GUARDS);

/** BullMQ adds its version to the name of a script: `promote:6.7.0`. */
export function scriptName(command: string): string {
  return command.split(':', 1)[0] as string;
}

/** @returns the script with its guard, where it has one. */
export function guarded(command: string, lua: string): string {
  return `${GUARDS[scriptName(command)] ?? ''}${lua}`;
}
