/** By which code Postgres says what is wrong: an SQLSTATE, wherever it stands. An adapter may wrap the errors of its driver. */
import { codeOf } from '../../errors.ts';

const SQLSTATE = /^[0-9A-Z]{5}$/;
const DEEPEST_CAUSE = 4;

/** That of the innermost cause: an adapter may have codes of its own that look the same. */
export function sqlStateOf(thrown: unknown): string | undefined {
  let found: string | undefined;
  let error = thrown;
  for (let depth = 0; depth <= DEEPEST_CAUSE; depth += 1) {
    const code = codeOf(error);
    if (typeof code === 'string' && SQLSTATE.test(code)) found = code;
    error = (error as { readonly cause?: unknown } | null | undefined)?.cause;
  }
  return found;
}
