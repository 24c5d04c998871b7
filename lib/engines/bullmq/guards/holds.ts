/** A release and a discard end a hold, and nothing else. */
import { ALSO_WHEN_FULL } from './full-memory.ts';
import { REMEMBERED_FOR } from './lost-answers.ts';

/** A delayed job that was started before waits between two attempts. Its wait is not a hold: a release does not end it. */
export const RELEASE = `
if redis.call('HEXISTS', ARGV[1] .. ARGV[2], 'processedOn') == 1 then return -3 end
`;

/**
 * BullMQ's own script removes finished jobs as well, and answers "removed" for a job that is not there. The key
 * `:discarded` answers a caller that asks again because the first answer was lost.
 */
export const DISCARD = `
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('EXISTS', KEYS[1] .. ':discarded') end
if not redis.call('ZSCORE', ARGV[3] .. 'delayed', ARGV[1]) then return 0 end
if redis.call('HEXISTS', KEYS[1], 'processedOn') == 1 then return 0 end
${ALSO_WHEN_FULL}
redis.call('SET', KEYS[1] .. ':discarded', 1, 'PX', ${REMEMBERED_FOR})
`;
