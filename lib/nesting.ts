/** How deep calls may go into each other that users' code may continue without end: the stack must not run out in the middle. */

/** Far from what the stack bears, and from what anybody nests on purpose. */
const DEEPEST = 100;

export class Nesting {
  #depth = 0;

  /** Whether one more call may begin now. If not, it is to be made later, when those above it have returned. */
  enter(): boolean {
    if (this.#depth === DEEPEST) return false;
    this.#depth += 1;
    return true;
  }

  /** A call that was allowed to begin has returned, or thrown. */
  leave(): void {
    this.#depth -= 1;
  }
}
