/**
 * Guards make two of BullMQ's scripts safe for holds. A guard is put in front of BullMQ's own script: both run as one, and
 * Redis runs nothing in between.
 */

/** A delayed job that was started before waits between two attempts. Its wait is not a hold: a release does not end it. */
const RELEASE = `
if redis.call('HEXISTS', ARGV[1] .. ARGV[2], 'processedOn') == 1 then return -3 end
`;

/**
 * BullMQ's own script removes finished jobs as well, and answers "removed" for a job that is not there. The key
 * `:discarded` answers a caller that asks again because the first answer was lost. It is deleted first, though it is not
 * there: when its memory is full, Redis refuses a script whose first write takes more, and lets one go on that has written.
 */
const DISCARD = `
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('EXISTS', KEYS[1] .. ':discarded') end
if not redis.call('ZSCORE', ARGV[3] .. 'delayed', ARGV[1]) then return 0 end
if redis.call('HEXISTS', KEYS[1], 'processedOn') == 1 then return 0 end
redis.call('DEL', KEYS[1] .. ':discarded')
redis.call('SET', KEYS[1] .. ':discarded', 1, 'PX', 600000)
`;

const GUARDS: Readonly<Record<string, string>> = { promote: RELEASE, removeJob: DISCARD };

export const guardedScripts: readonly string[] = Object.keys(GUARDS);

/** BullMQ adds its version to the name of a script: `promote:6.7.0`. */
export function scriptName(command: string): string {
  return command.split(':', 1)[0] as string;
}

/** @returns the script with its guard, where it has one. */
export function guarded(command: string, lua: string): string {
  return `${GUARDS[scriptName(command)] ?? ''}${lua}`;
}
