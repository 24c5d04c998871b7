/** How deep calls may go into each other that users' code may continue without end: the stack must not run out in the middle. */
import { setImmediate } from './time/real-time.ts';

/** Far from what the stack bears, and from what anybody nests on purpose. */
const DEEPEST = 100;

export class Nesting {
  #depth = 0;

  /**
   * Calls a method now or, where that would be too deep, in a later turn of the event loop, when the calls above it have
   * returned. Given apart from its object and its argument: a closure for each call would cost more than the call.
   */
  call<This, Argument>(method: (this: This, argument: Argument) => void, object: This, argument: Argument): void {
    if (this.#depth === DEEPEST) {
      setImmediate(() => this.call(method, object, argument));
      return;
    }
    this.#depth += 1;
    try {
      method.call(object, argument);
    } finally {
      this.#depth -= 1;
    }
  }
}
