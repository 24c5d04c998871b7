/** By which code Postgres says what is wrong: an SQLSTATE, wherever it stands. An adapter may wrap the errors of its driver. */
import { codeOf } from '../../errors.ts';

/** Codes of the operating system, such as `EPIPE`, may be as long. No class of SQLSTATE looks like them. */
const SQLSTATE = /^(?!E[A-Z]{4}$)[0-9A-Z]{5}$/;
const DEEPEST_CAUSE = 4;

/** That of the innermost cause: an adapter may have codes of its own that look the same. */
export function sqlStateOf(thrown: unknown): string | undefined {
  return causesOf(thrown).map(codeOf).findLast(isSqlState);
}

function isSqlState(code: unknown): code is string {
  return typeof code === 'string' && SQLSTATE.test(code);
}

/** What was thrown, and what has caused it, the innermost last. */
export function causesOf(thrown: unknown): unknown[] {
  const causes = [thrown];
  for (let depth = 0; depth < DEEPEST_CAUSE; depth += 1) {
    causes.push((causes.at(-1) as { readonly cause?: unknown } | null | undefined)?.cause);
  }
  return causes;
}
