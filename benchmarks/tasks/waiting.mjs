// Tasks for a queue: one that occupies its thread, and one that does nothing.

/** Sets the first element of `gate` when it has begun, and runs until the second is set. */
export function hold(gate) {
  Atomics.store(gate, 0, 1);
  Atomics.wait(gate, 1, 0);
}

export function nothing(_number) {}
