/** Which errors are about the connection to Postgres, and not about what was sent over it. */
import { codeOf } from '../../errors.ts';
import { messageOf } from '../../message-of.ts';
import { isError, toError } from '../../to-error.ts';
import { causesOf, sqlStateOf } from './sql-state.ts';

/** Classes of SQLSTATE: the connection is lost, or Postgres has ended it, be it for having been idle. */
const ENDED = /^(?:08|57P0[125])/;
const CUT: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE']);
/** What pg says when Postgres was gone without a word. */
const TERMINATED = /^Connection terminated/;

/** Postgres takes no connection: it starts, it stops, or the database is gone. */
const TAKES_NONE = /^57P/;
/** What pg and Node say of a connection that could not be made, or gave no answer. */
const NOT_MADE = /terminated|timeout|connection|ECONN/i;

/** Whether a connection was lost that was there: nobody knows whether the statement was run. */
export function hasLostConnection(thrown: unknown): boolean {
  const state = sqlStateOf(thrown);
  if (state !== undefined) return ENDED.test(state);
  return causesOf(thrown).some((cause) => CUT.has(codeOf(cause)) || TERMINATED.test(messageOf(toError(cause))));
}

/** Whether there is no connection: it was lost, or could not be made. */
export function hasNoConnection(thrown: unknown): boolean {
  if (hasLostConnection(thrown)) return true;
  const state = sqlStateOf(thrown);
  if (state !== undefined) return TAKES_NONE.test(state);
  return causesOf(thrown).some((cause) => isError(cause) && NOT_MADE.test(messageOf(cause)));
}
