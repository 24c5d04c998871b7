// A small blocking task, as ours and as Piscina's and tinypool's.
import { createHash } from 'node:crypto';
import { monotonicMs } from './clock.mjs';

export function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

/** The same, with the moment at which it began. */
export function timedSha256(data) {
  const startedAt = monotonicMs();
  return `${startedAt} ${sha256(data)}`;
}

/** Some tenths of a millisecond of work. */
export function sha256Often(data) {
  for (let time = 1; time < 200; time += 1) sha256(data);
  return sha256(data);
}

export default sha256;
