/** What an option may be: rules that say what is expected. `check` holds options against them. */

import { describeKind } from '../describe.ts';
import { LONGEST_TIMER } from '../time/timers.ts';

/** One option's rule. `expected` completes the sentence "Expected `name` to be …". */
export interface Rule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  /** In words, what of a value that is not accepted is wrong; without it, the value or its kind. */
  readonly faultOf?: (value: unknown) => string;
  /** For an option that is an object: the rules of its own fields. */
  readonly fields?: Readonly<Record<string, Rule>>;
  /** For an option that is an object: names that are known and refused, with the reason. */
  readonly refused?: Readonly<Record<string, string>>;
}

/** A rule for each option; the compiler keeps the list complete. */
export type Rules<Options> = { readonly [Name in keyof Required<Options>]: Rule };

export const aString: Rule = {
  expected: 'a string that is not empty',
  accepts: (value) => typeof value === 'string' && value !== '',
};
export const aBoolean: Rule = { expected: 'true or false', accepts: (value) => typeof value === 'boolean' };
export const aFunction: Rule = { expected: 'a function', accepts: (value) => typeof value === 'function' };

/** Both limits are allowed. Without `to` a number must be finite, and an integer a safe one. */
interface Limits {
  readonly from: number;
  readonly to?: number;
  /** Such as `seconds`. */
  readonly unit?: string;
}

export function aNumber(limits: Limits): Rule {
  const { from, to = Number.MAX_VALUE } = limits;
  return {
    expected: inWords(limits.to === undefined ? 'a finite number' : 'a number', limits),
    accepts: (value) => typeof value === 'number' && value >= from && value <= to,
  };
}

export function anInteger(limits: Limits): Rule {
  const { from, to = Number.MAX_SAFE_INTEGER } = limits;
  return {
    expected: inWords(limits.to === undefined ? 'a safe integer' : 'an integer', limits),
    accepts: (value) => Number.isInteger(value) && (value as number) >= from && (value as number) <= to,
  };
}

/** No longer than a timer can be set for. */
export function milliseconds(from: number): Rule {
  return aNumber({ unit: 'milliseconds', from, to: LONGEST_TIMER });
}

export const forever: Rule = oneOf(Number.POSITIVE_INFINITY);

function inWords(kind: string, { from, to, unit }: Limits): string {
  const noun = unit === undefined ? kind : `${kind} of ${unit}`;
  if (to !== undefined) return `${noun} from ${from} to ${to}`;
  return unit === undefined ? `${noun} of at least ${from}` : `${noun}, at least ${from}`;
}

export function oneOf(...values: readonly (string | number)[]): Rule {
  return {
    expected: values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(', '),
    accepts: (value) => (values as readonly unknown[]).includes(value),
  };
}

export function either(one: Rule, other: Rule): Rule {
  return {
    ...one,
    ...other,
    expected: `${one.expected}, or ${other.expected}`,
    accepts: (value) => one.accepts(value) || other.accepts(value),
  };
}

export function anObjectOf<Options>(fields: Rules<Options>, refused: Readonly<Record<string, string>> = {}): Rule {
  return { expected: 'an object', accepts: isPlainObject, fields: fields as Readonly<Record<string, Rule>>, refused };
}

/** An array of which each entry is like that. `entries` completes the phrase "an array of …". */
export function anArrayOf(entries: string, accepts: (entry: unknown) => boolean): Rule {
  return collection(`an array of ${entries}`, Array.isArray, accepts, (index) => `at index ${index}`);
}

/** The same for an object with any properties. */
export function aRecordOf(entries: string, accepts: (entry: unknown) => boolean): Rule {
  return collection(`an object of ${entries}`, isPlainObject, accepts, (key) => `as \`${key}\``);
}

function collection(
  expected: string,
  isCollection: (value: unknown) => value is object,
  accepts: (entry: unknown) => boolean,
  at: (key: string) => string,
): Rule {
  return {
    expected,
    accepts: (value) => isCollection(value) && Object.values(value).every(accepts),
    faultOf(value) {
      const wrong = isCollection(value) ? Object.entries(value).find(([, entry]) => !accepts(entry)) : undefined;
      return wrong === undefined ? describeKind(value) : `${describeKind(wrong[1])} ${at(wrong[0])}`;
    },
  };
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
