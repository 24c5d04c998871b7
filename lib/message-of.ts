/** What an error says, in one line of the log or in another error. */
import { toError } from './to-error.ts';

/** Where several have failed together, as the addresses of `localhost` do, Node's error of all of them says nothing itself. */
export function messageOf({ message, name, errors }: Error & { readonly errors?: unknown }): string {
  if (message !== '') return message;
  const each = Array.isArray(errors) ? errors.map(toError) : [];
  return each.map((one) => one.message || one.name).join(', ') || name;
}
