/** The instance behind a middleware, for rooms that are given the middleware. */
import type { Instance } from './instance.ts';

// A symbol of the registry, so that the testing entry of either copy of the package finds it.
const INSTANCE: unique symbol = Symbol.for('express-background-tasks.instance');

interface Carrier {
  readonly [INSTANCE]: Instance;
}

export function carryInstance<Middleware extends object>(background: Middleware, instance: Instance): Middleware {
  return Object.defineProperty(background, INSTANCE, { value: instance });
}

/** `undefined` for whatever is no middleware of this package. */
export function instanceOf(background: unknown): Instance | undefined {
  return (background as Partial<Carrier> | null | undefined)?.[INSTANCE];
}
