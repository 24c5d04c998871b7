/** Values in words, for errors, logs and messages. */
import { inspect, types } from 'node:util';

/** A value may have any number of properties, and a message is read by people. */
const LONGEST_DESCRIPTION = 1_000;

/** The name that errors, logs and messages use for a value that somebody threw or passed. */
export function describe(value: unknown): string {
  try {
    if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`;
    if (types.isPromise(value)) return 'a promise';
    const text = inspect(value, {
      depth: 1,
      // A list of more than six would be a table of several lines.
      compact: true,
      breakLength: Number.POSITIVE_INFINITY,
      maxStringLength: 100,
      maxArrayLength: 10,
    });
    return text.length > LONGEST_DESCRIPTION ? `${text.slice(0, LONGEST_DESCRIPTION)}…` : text;
  } catch {
    return `an uninspectable ${typeof value}`;
  }
}

const USUAL_NAME = /^\w[\w./#$-]{0,199}$/;

/** A name or an id that others may have written: one that is not of the usual kind is quoted and shortened. */
export function describeName(name: string): string {
  return USUAL_NAME.test(name) ? name : describe(name);
}

/** What a value is, without what is in it: arguments may be personal data. */
export function describeKind(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'function') return describe(value);
  if (typeof value !== 'object') return `a ${typeof value}`;
  try {
    if (Array.isArray(value)) return 'an array';
    // Its own property of that name is data, as a request may have sent it.
    const { name } = Object.getPrototypeOf(value).constructor;
    return name === 'Object' || name === '' ? 'an object' : `an object of class ${name}`;
  } catch {
    return 'an object';
  }
}
