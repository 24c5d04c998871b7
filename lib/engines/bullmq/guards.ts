/**
 * Guards make BullMQ's scripts safe for holds, for a Redis whose memory is full, and for one that was away for longer than a
 * lock. A guard is put in front of BullMQ's own script: both run as one, and Redis runs nothing in between.
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

/**
 * Takes a lock again that has run out while Redis was away, if nobody has been given the job meanwhile: it is active still, and
 * the last that was given it (`pb`) is the worker whose token this is. In a BullMQ that names its keys otherwise the call fails,
 * and BullMQ decides alone.
 */
function retake({ active, job, id, token }: Readonly<Record<'active' | 'job' | 'id' | 'token', string>>): string {
  return `
pcall(function()
  local lock = ${job} .. ':lock'
  if redis.call('EXISTS', lock) == 1 then return end
  local token = ${token}
  if redis.call('HGET', ${job}, 'pb') ~= string.match(token, '^[^:]+') then return end
  if not redis.call('LPOS', ${active}, ${id}) then return end
  redis.call('DEL', lock)
  redis.call('SET', lock, token, 'PX', 1000)
end)
`;
}

/**
 * What a script answers that has been run before, and whose answer was lost with the job that came with it: the one that the
 * worker's token locks by now. Zero: none came.
 */
function answerAgain({
  isFetching,
  active,
  prefix,
}: Readonly<Record<'isFetching' | 'active' | 'prefix', string>>): string {
  return `
  if ${isFetching} ~= '1' then return 0 end
  for _, id in ipairs(redis.call('LRANGE', ${active}, 0, -1)) do
    local job = ${prefix} .. id
    if redis.call('GET', job .. ':lock') == token then return {redis.call('HGETALL', job), id, 0, 0} end
  end
  return 0
`;
}

/**
 * A worker that lost the answer when its connection was cut tells again what its job came to. BullMQ would answer that the lock
 * is missing, which the worker takes for the failure of a task that has completed. Of jobs that are not kept when they have
 * finished, nothing is left.
 */
const WRITTEN_ALREADY = `
local asked, answer = pcall(function()
  local finishedOn, worker = unpack(redis.call('HMGET', KEYS[12], 'finishedOn', 'pb'))
  if worker and not finishedOn then return nil end
  if redis.call('EXISTS', KEYS[12] .. ':lock') == 1 then return nil end
  local opts = cmsgpack.unpack(ARGV[8])
  local token = opts['token']
  if finishedOn then
    if worker ~= string.match(token, '^[^:]+') then return nil end
  elseif opts['keepJobs']['count'] ~= 0 or redis.call('EXISTS', KEYS[12]) == 1 then
    return nil
  end
  ${answerAgain({ isFetching: 'ARGV[6]', active: 'KEYS[2]', prefix: 'ARGV[7]' })}
end)
if asked and answer then return answer end
`;

/** The same for a job that waits for its next attempt. */
const DELAYED_ALREADY = `
local asked, answer = pcall(function()
  if redis.call('EXISTS', KEYS[5] .. ':lock') == 1 or not redis.call('ZSCORE', KEYS[4], ARGV[3]) then return nil end
  local token = ARGV[4]
  if redis.call('HGET', KEYS[5], 'pb') ~= string.match(token, '^[^:]+') then return nil end
  ${answerAgain({ isFetching: 'ARGV[8]', active: 'KEYS[2]', prefix: 'ARGV[1]' })}
end)
if asked and answer then return answer end
`;

const RETAKE_EACH = `
do
  local tokens = cmsgpack.unpack(ARGV[2])
  for index, id in ipairs(cmsgpack.unpack(ARGV[3])) do
    ${retake({ active: "ARGV[1] .. 'active'", job: '(ARGV[1] .. id)', id: 'id', token: 'tokens[index]' })}
  end
end
`;

/**
 * BullMQ takes a job for lost whose lock is missing at the second of two looks. If there was none for a while, Redis was away
 * or all workers were: a look before that does not count, so that those that are there have time to take their locks again.
 *
 * For the time in `ARGV[4]`, which is also a worker's pause between two looks, BullMQ keeps all others from looking. A worker that
 * looked again a millisecond early would be turned away, and its next look would come after one that does not count any more.
 */
const LOOK = `
if redis.call('EXISTS', KEYS[4]) == 0 then
  if redis.call('EXISTS', KEYS[4] .. ':lately') == 0 then redis.call('DEL', KEYS[1]) end
  redis.call('SET', KEYS[4] .. ':lately', 1, 'PX', math.floor(1.5 * ARGV[4]) + 500)
end
ARGV[4] = math.floor(0.9 * ARGV[4])
`;

const GUARDS: Readonly<Record<string, string>> = {
  promote: RELEASE,
  removeJob: DISCARD,
  moveToActive: ALSO_WHEN_FULL,
  extendLocks: ALSO_WHEN_FULL + RETAKE_EACH,
  moveToFinished:
    WRITTEN_ALREADY +
    retake({ active: 'KEYS[2]', job: 'KEYS[12]', id: 'ARGV[1]', token: "cmsgpack.unpack(ARGV[8])['token']" }),
  retryJob: ALSO_WHEN_FULL + retake({ active: 'KEYS[1]', job: 'KEYS[4]', id: 'ARGV[4]', token: 'ARGV[5]' }),
  moveToDelayed:
    ALSO_WHEN_FULL + DELAYED_ALREADY + retake({ active: 'KEYS[2]', job: 'KEYS[5]', id: 'ARGV[3]', token: 'ARGV[4]' }),
  moveStalledJobsToWait: ALSO_WHEN_FULL + LOOK,
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
