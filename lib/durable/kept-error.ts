/** What an engine keeps of the error of a failed attempt. */
import { hookError } from '../hooks.ts';

/** In characters, for the message and for the stack: a store that is shared must not be filled by what a task has thrown. */
const LARGEST = 16 * 2 ** 10;

/** A copy with the same name and code, whose message and stack are no longer than that. */
export function keptError(error: Error): Error {
  try {
    return copyOf(error);
  } catch (thrown) {
    // A property may be a getter, which did not throw before.
    return copyOf(hookError('the error of a task', thrown));
  }
}

function copyOf(error: Error & { readonly code?: unknown }): Error {
  const { name, message, stack, code } = error;
  const kept = Object.assign(new Error(cut(String(message))), { name: cut(String(name)) });
  // The message stands at the beginning of the stack: a long one would leave no room there for where the error came from.
  kept.stack = cut(String(stack ?? `${name}: ${message}`).replace(String(message), (text) => cut(text, LARGEST / 2)));
  // A string in every engine, also where it was a number, as those of gRPC are.
  return isCode(code) ? Object.assign(kept, { code: cut(String(code)) }) : kept;
}

function isCode(code: unknown): boolean {
  return typeof code === 'string' || typeof code === 'number';
}

function cut(text: string, largest = LARGEST): string {
  return text.length <= largest ? text : `${text.slice(0, largest - 1)}…`;
}
