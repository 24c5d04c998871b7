/** The one place where whatever was thrown becomes an `Error`. */
import { types } from 'node:util';
import { describe } from './describe.ts';
import { BackgroundTaskError, letGoOfFrames } from './errors.ts';

/** Of any realm: errors of jest and of `vm` are no instances of this realm's Error. Throws for some proxies. */
export function isErrorOfAnyRealm(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

/** Whether all that is read of an error later on can be read: a getter that throws would throw in a log line. */
export function isError(value: unknown): value is Error {
  try {
    if (!isErrorOfAnyRealm(value)) return false;
    const { name, message } = value;
    for (const property of ['stack', 'code', 'cause', 'errors']) Reflect.get(value, property);
    return typeof name === 'string' && typeof message === 'string';
  } catch {
    return false;
  }
}

/** Whatever was thrown, as an `Error`: itself where it is one, else wrapped with the thrown value as `cause`. */
export function toError(thrown: unknown): Error {
  if (isError(thrown)) return thrown;
  // That of a call without `await`. Nobody else hears of its rejection, which would end the process.
  if (types.isPromise(thrown)) new Promise((resolve) => resolve(thrown)).catch(() => {});
  const error = new BackgroundTaskError(
    'ERR_BACKGROUND_NOT_AN_ERROR',
    `Expected an Error to be thrown, got ${describe(thrown)}.`,
    { cause: thrown },
  );
  return letGoOfFrames(error);
}
