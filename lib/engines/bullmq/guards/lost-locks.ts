/** A Redis that was away for longer than a lock: who has a job keeps it, unless another has been given it. */

/**
 * Takes a lock again that has run out while Redis was away, if nobody has been given the job meanwhile: it is active still, and
 * the last that was given it (`pb`) is the worker whose token this is. In a BullMQ that names its keys otherwise the call fails,
 * and BullMQ decides alone.
 */
export function retake({
  active,
  job,
  id,
  token,
}: Readonly<Record<'active' | 'job' | 'id' | 'token', string>>): string {
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

export const RETAKE_EACH = `
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
export const LOOK = `
if redis.call('EXISTS', KEYS[4]) == 0 then
  if redis.call('EXISTS', KEYS[4] .. ':lately') == 0 then redis.call('DEL', KEYS[1]) end
  redis.call('SET', KEYS[4] .. ':lately', 1, 'PX', math.floor(1.5 * ARGV[4]) + 500)
end
ARGV[4] = math.floor(0.9 * ARGV[4])
`;
