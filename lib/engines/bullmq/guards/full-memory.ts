/** A Redis whose memory is full. */

/**
 * When its memory is full, Redis refuses a script whose first write takes more, and lets one go on that has written: this
 * deletes what is not there. What is kept already must be worked off, or the memory would stay full.
 */
export const ALSO_WHEN_FULL = `
redis.call('DEL', KEYS[1] .. ':none')
`;
