/** Values of which it is certain, at little cost, that they cross to another thread or process. */
import { types } from 'node:util';

/** Structures deeper than this are left to the structured clone algorithm to judge. */
const DEEPEST_PLAIN = 8;
/** So are those with more values than this. A value that can be reached by several paths counts once for each. */
const MOST_PLAIN = 1_000;

/**
 * Whether a value certainly crosses: strings, numbers, plain arrays and objects of them. `false` means only that
 * a slower check has to decide.
 */
export function isPlain(value: unknown): boolean {
  return isPlainWithin(value, 0, { left: MOST_PLAIN });
}

function isPlainWithin(value: unknown, depth: number, values: { left: number }): boolean {
  values.left -= 1;
  if (typeof value !== 'object' || value === null) return typeof value !== 'function' && typeof value !== 'symbol';
  if (depth === DEEPEST_PLAIN || types.isProxy(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return false;
  if (Array.isArray(value) && value.length > values.left) return false;
  for (const descriptor of Object.values(Object.getOwnPropertyDescriptors(value))) {
    if (values.left <= 0 || descriptor.get !== undefined || descriptor.set !== undefined) return false;
    if (!isPlainWithin(descriptor.value, depth + 1, values)) return false;
  }
  return true;
}
