/** Whether the main thread has a debugger: two would stop and start it in each other's way. */
import { readFileSync } from 'node:fs';

/** Somebody else has stopped the main thread. */
export class DebuggedError extends Error {}

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
const ESTABLISHED = '01';

/** Whether a client is connected to the inspector's port; where the system does not tell, one may be. */
export function isDebuggerAttached(port: number): boolean {
  if (port === 0) return false;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  try {
    return TABLES.some((table) =>
      readFileSync(table, 'latin1')
        .split('\n')
        .some((line) => {
          const [, local, , state] = line.trim().split(/\s+/);
          return state === ESTABLISHED && local?.endsWith(suffix);
        }),
    );
  } catch {
    return true;
  }
}
