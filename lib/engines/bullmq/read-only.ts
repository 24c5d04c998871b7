/** After a planned failover the old master lives on as a replica: it keeps its connections, and refuses every write. */
import type { RedisOptions } from 'ioredis';
import { SECOND } from '../../time/timers.ts';

/** For how long refused commands are sent again. After that they reject. */
const RESENT_FOR = 2 * SECOND;
/** Refusals that are further apart have nothing to do with each other. */
const LONGEST_GAP = 10 * SECOND;

/** ioredis: connect again, and send what was refused again or not. */
const [RECONNECT, RECONNECT_AND_RESEND] = [1, 2] as const;

/** For one client: connects again, since the same address may lead to the new master by now. */
export function reconnectWhenReadOnly(): NonNullable<RedisOptions['reconnectOnError']> {
  let first = Number.NEGATIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  return ({ message }) => {
    // Redis 6 has it in the middle of the message where a script was refused.
    if (!message.includes('READONLY ')) return false;
    const now = performance.now();
    if (now - last > LONGEST_GAP) first = now;
    last = now;
    return now - first < RESENT_FOR ? RECONNECT_AND_RESEND : RECONNECT;
  };
}
