/** An error as a field of a log line. */
import { describe } from './describe.ts';
import { codeOf } from './errors.ts';
import { isError } from './to-error.ts';

const DEEPEST_CAUSE = 4;

/** An error as plain data, which any logger can print and any JSON can hold. */
export function errorFields(error: Error, depth = 0): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  const code = codeOf(error);
  return {
    name,
    message,
    ...(code === undefined ? {} : { code: isTextOrNumber(code) ? code : describe(code) }),
    stack: typeof stack === 'string' ? stack : undefined,
    ...(isError(cause) && depth < DEEPEST_CAUSE ? { cause: errorFields(cause, depth + 1) } : {}),
  };
}

/** An error's `code` may have been set to anything. */
function isTextOrNumber(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}
