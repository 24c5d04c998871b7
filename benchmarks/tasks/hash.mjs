// A small blocking task, as ours and as Piscina's.
import { createHash } from 'node:crypto';

export function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

export default sha256;
