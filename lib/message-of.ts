/** What an error says, in one line of the log or in another error. */
import { firstFew } from './first-few.ts';
import { toError } from './to-error.ts';

/** Where several have failed together, as the addresses of `localhost` do, Node's error of all of them says nothing itself. */
export function messageOf({ message, name, errors }: Error & { readonly errors?: unknown }): string {
  if (message !== '') return message;
  const all: unknown[] = Array.isArray(errors) ? errors : [];
  return firstFew(all, (one) => shortOf(toError(one))) || name;
}

function shortOf({ message, name }: Error): string {
  return message || name;
}
