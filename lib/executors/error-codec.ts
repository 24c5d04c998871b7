/** Errors across threads with their identity: the structured clone algorithm alone keeps little more than the message. */
import { describe } from '../describe.ts';
import { BackgroundTaskError, type BackgroundTaskErrorCode, codeOf } from '../errors.ts';
import { isErrorOfAnyRealm } from '../to-error.ts';
import { isPlain } from './plain.ts';

/** Something thrown, as plain data. */
export type EncodedError =
  | {
      readonly kind: 'error';
      readonly base: string;
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly cause?: EncodedError;
      readonly errors?: readonly EncodedError[];
      /** A `code` that is not an own property: a class may define it for all of its errors. */
      readonly inheritedCode?: unknown;
      /** Own properties whose values are plain. */
      readonly properties: Readonly<Record<string, unknown>>;
    }
  /** A thrown value that is no error. */
  | { readonly kind: 'value'; readonly value: unknown };

const BASES = { Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError };

const OWN_BASE = 'BackgroundTaskError';

/** How far chains of causes are followed: they may be circles. */
const DEEPEST_CAUSE = 8;

/** How many errors are taken along with one, in its causes and lists: an AggregateError may hold itself, several times. */
const MOST_ERRORS = 1_000;

/** The first four are fields of their own. The others are refused: nothing that is received may touch a prototype. */
const NOT_A_PROPERTY: ReadonlySet<string> = new Set([
  'name',
  'message',
  'stack',
  'cause',
  '__proto__',
  'constructor',
  'prototype',
]);

/** Never throws: where a getter or a proxy of the user's does, a description is sent instead. */
export function encodeError(thrown: unknown): EncodedError {
  return encodeWithin(thrown, 0, { left: MOST_ERRORS });
}

function encodeWithin(thrown: unknown, depth: number, errors: { left: number }): EncodedError {
  errors.left -= 1;
  try {
    if (!isErrorOfAnyRealm(thrown)) return { kind: 'value', value: isPlain(thrown) ? thrown : describe(thrown) };
    const { cause } = thrown;
    const goesDeeper = depth < DEEPEST_CAUSE;
    return {
      kind: 'error',
      base: baseOf(thrown),
      name: String(thrown.name),
      message: String(thrown.message),
      stack: typeof thrown.stack === 'string' ? thrown.stack : undefined,
      ...(cause !== undefined && goesDeeper ? { cause: encodeWithin(cause, depth + 1, errors) } : {}),
      ...(thrown instanceof AggregateError && goesDeeper
        ? { errors: encodeList(thrown.errors, depth + 1, errors) }
        : {}),
      ...(Object.hasOwn(thrown, 'code') ? {} : inheritedCodeOf(thrown)),
      properties: plainPropertiesOf(thrown),
    };
  } catch {
    return { kind: 'value', value: describe(thrown) };
  }
}

function encodeList(list: Iterable<unknown>, depth: number, errors: { left: number }): EncodedError[] {
  const encoded: EncodedError[] = [];
  for (const error of list) {
    if (errors.left <= 0) break;
    encoded.push(encodeWithin(error, depth, errors));
  }
  return encoded;
}

/**
 * What {@link encodeError} was given, as near as another thread can have it. Never throws: a malformed error must not keep
 * the ends of other tasks, which came with it, from being told.
 */
export function decodeError(encoded: EncodedError): unknown {
  try {
    return decode(encoded);
  } catch (thrown) {
    return thrown;
  }
}

function decode(encoded: EncodedError): unknown {
  if (encoded.kind === 'value') return encoded.value;
  const options = encoded.cause === undefined ? undefined : { cause: decodeError(encoded.cause) };
  const error = makeError(encoded, options);
  if (error.name !== encoded.name) defineHidden(error, 'name', encoded.name);
  defineHidden(error, 'stack', encoded.stack);
  if (encoded.inheritedCode !== undefined) defineHidden(error, 'code', encoded.inheritedCode);
  for (const [name, value] of Object.entries(encoded.properties)) {
    if (NOT_A_PROPERTY.has(name)) continue;
    Object.defineProperty(error, name, { value, configurable: true, enumerable: true, writable: true });
  }
  return error;
}

function makeError(
  { base, message, errors, properties }: Extract<EncodedError, { kind: 'error' }>,
  options: { cause: unknown } | undefined,
): Error {
  if (errors !== undefined) return new AggregateError(errors.map(decodeError), message, options);
  const { code } = properties;
  // The task may have changed the error's code to anything, or deleted it.
  if (base === OWN_BASE && typeof code === 'string') {
    return new BackgroundTaskError(code as BackgroundTaskErrorCode, message, options);
  }
  const Base = Object.hasOwn(BASES, base) ? BASES[base as keyof typeof BASES] : Error;
  return new Base(message, options);
}

function baseOf(error: Error): string {
  if (error instanceof BackgroundTaskError) return OWN_BASE;
  for (const [name, Base] of Object.entries(BASES)) {
    if (name !== 'Error' && error instanceof Base) return name;
  }
  return 'Error';
}

function plainPropertiesOf(error: Error): Record<string, unknown> {
  const properties: Record<string, unknown> = {};
  for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(error))) {
    if (travelsByItself(name, error) || descriptor.get !== undefined || !isPlain(descriptor.value)) continue;
    properties[name] = descriptor.value;
  }
  return properties;
}

function inheritedCodeOf(error: Error): { inheritedCode?: unknown } {
  try {
    const code = codeOf(error);
    return code !== undefined && isPlain(code) ? { inheritedCode: code } : {};
  } catch {
    return {};
  }
}

function travelsByItself(name: string, error: Error): boolean {
  return NOT_A_PROPERTY.has(name) || (name === 'errors' && error instanceof AggregateError);
}

function defineHidden(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, configurable: true, enumerable: false, writable: true });
}
