/** Text that is shown to people, without the passwords in it. */

/**
 * What the user of a URL stands behind. Looked for where a scheme begins, and not at each of its letters: that would take
 * the square of its length.
 */
const BEFORE_USER = /(?<![\w+.-])[\w+.-]{2,}:\/*|\/\//;

/** The text with user and password of any URL in it masked, also in a query, even of a malformed one: a mistyped URL ends up in a log too. */
export function withoutPassword(text: string): string {
  return text.replace(/\S+/g, withoutUser).replace(/(password=)[^&\s]*/gi, '$1…');
}

/** The last `@` counts: a password that is not encoded may contain others. */
function withoutUser(word: string): string {
  const end = word.lastIndexOf('@');
  const before = BEFORE_USER.exec(word.slice(0, Math.max(0, end)));
  return before === null ? word : `${word.slice(0, before.index)}${before[0]}…${word.slice(end)}`;
}
