/** What an error says, in one line of the log or in another error. */
import { toError } from './to-error.ts';

/** Thousands may have failed together, and a line is read by people. */
const MOST_NAMED = 10;

/** Where several have failed together, as the addresses of `localhost` do, Node's error of all of them says nothing itself. */
export function messageOf({ message, name, errors }: Error & { readonly errors?: unknown }): string {
  if (message !== '') return message;
  const all: unknown[] = Array.isArray(errors) ? errors : [];
  const named = all.slice(0, MOST_NAMED).map((one) => shortOf(toError(one)));
  const others = all.length > MOST_NAMED ? ` and ${all.length - MOST_NAMED} more` : '';
  return named.join(', ') + others || name;
}

function shortOf({ message, name }: Error): string {
  return message || name;
}
