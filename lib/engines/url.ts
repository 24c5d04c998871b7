/** Whether a URL can be read. One that cannot is refused at once: engines try again and again to start, and it never gets better. */

/** What is left to do, for the rule of an option: nobody sees in a URL why it is none. */
export const ENCODED = 'with the special characters of a password percent-encoded';

/** The end of the error for an option that came without a value, most likely from the environment. */
export const NOT_SET = 'got undefined: if it comes from an environment variable, set that';

export function isUrl(text: string): boolean {
  try {
    const { username, password } = new URL(text);
    return decodeURIComponent(`${username}${password}`) !== undefined;
  } catch {
    return false;
  }
}
