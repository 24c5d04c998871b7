/**
 * Node copies values into its main realm. Tests, and what they test, may run in another (jest gives each file one of its
 * own), where a copied Date is no instance of Date.
 */
import { types } from 'node:util';

type Classes = Readonly<Record<string, { readonly prototype?: object } | undefined>>;

const isMainRealm = Object.getPrototypeOf(structuredClone({})) === Object.prototype;

/** What Node has copied, with classes of the realm that this code runs in. Changes the copy, not what it was made of. */
export const toThisRealm: <Value>(copy: Value) => Value = isMainRealm
  ? (copy) => copy
  : (copy) => {
      const seen = new Set<object>();
      const waiting: unknown[] = [copy];
      while (waiting.length > 0) {
        const one = waiting.pop();
        if (typeof one !== 'object' || one === null || seen.has(one)) continue;
        seen.add(one);
        takeOver(one);
        // Not spread: a call does not take as many arguments as there may be.
        for (const part of contentsOf(one)) waiting.push(part);
      }
      return copy;
    };

/** A copy is of a standard class, never of one that somebody has derived from it: the name is enough. */
function takeOver(one: object): void {
  const { name } = (Object.getPrototypeOf(one) as object).constructor;
  const prototype = (globalThis as unknown as Classes)[name]?.prototype;
  if (prototype !== undefined) Object.setPrototypeOf(one, prototype);
}

function contentsOf(one: object): Iterable<unknown> {
  if (types.isMap(one)) return [...one].flat();
  if (types.isSet(one)) return one;
  if (types.isArrayBufferView(one)) return [];
  // The cause of an error is not enumerable.
  return types.isNativeError(one) ? [one.cause] : Object.values(one);
}
