/** An answer that was lost when its connection was cut: what it was about has been written, and is asked for again. */
import { SECOND } from '../../../time/timers.ts';

/** How long a key tells that something was done, to a caller that asks again. In milliseconds. */
export const REMEMBERED_FOR: number = 600 * SECOND;

/** Answers with the job that the worker's token locks, where there is one. */
function answerWithLocked({ active, prefix }: Readonly<Record<'active' | 'prefix', string>>): string {
  return `
  for _, id in ipairs(redis.call('LRANGE', ${active}, 0, -1)) do
    local job = ${prefix} .. id
    if redis.call('GET', job .. ':lock') == token then return {redis.call('HGETALL', job), id, 0, 0} end
  end
`;
}

/**
 * A worker that lost the answer to a fetch asks again, by the same token. For the time of a lock, the key `fetching` of the
 * worker tells that from other fetches: only then it is looked for what it was given.
 */
export const FETCHED_ALREADY = `
local asked, answer = pcall(function()
  local opts = cmsgpack.unpack(ARGV[3])
  local token = opts['token']
  local fetching = ARGV[1] .. 'fetching:' .. string.match(token, '^[^:]+')
  if redis.call('SET', fetching, token, 'PX', opts['lockDuration'], 'GET') ~= token then return nil end
  ${answerWithLocked({ active: 'KEYS[2]', prefix: 'ARGV[1]' })}
end)
if asked and answer then return answer end
`;

/**
 * What a script answers that has been run before, and whose answer was lost with the job that came with it: the one that the
 * worker's token locks by now. Zero: none came.
 */
function answerAgain({ isFetching, ...place }: Readonly<Record<'isFetching' | 'active' | 'prefix', string>>): string {
  return `
  if ${isFetching} ~= '1' then return 0 end
  ${answerWithLocked(place)}
  return 0
`;
}

/**
 * A worker that lost the answer when its connection was cut tells again what its job came to. BullMQ would answer that the lock
 * is missing, which the worker takes for the failure of a task that has completed. Of jobs that are not kept when they have
 * finished, nothing is left.
 */
export const WRITTEN_ALREADY = `
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
export const DELAYED_ALREADY = `
local asked, answer = pcall(function()
  if redis.call('EXISTS', KEYS[5] .. ':lock') == 1 or not redis.call('ZSCORE', KEYS[4], ARGV[3]) then return nil end
  local token = ARGV[4]
  if redis.call('HGET', KEYS[5], 'pb') ~= string.match(token, '^[^:]+') then return nil end
  ${answerAgain({ isFetching: 'ARGV[8]', active: 'KEYS[2]', prefix: 'ARGV[1]' })}
end)
if asked and answer then return answer end
`;

/** The same for a job whose next attempt may begin at once, and another worker may have been given it by now. */
export const RETRIED_ALREADY = `
do
  local retried = KEYS[4] .. ':retried'
  if redis.call('GET', KEYS[4] .. ':lock') == ARGV[5] then
    redis.call('SET', retried, ARGV[5], 'PX', ${REMEMBERED_FOR})
  elseif redis.call('GET', retried) == ARGV[5] then
    return 0
  end
end
`;
