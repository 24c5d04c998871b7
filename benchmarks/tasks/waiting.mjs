// Tasks for a queue: one that keeps its thread, and one that is hardly there.

/** Says that it has begun in the first place of `gate`, and goes on until the second is set. */
export function hold(gate) {
  Atomics.store(gate, 0, 1);
  Atomics.wait(gate, 1, 0);
}

export function nothing(_number) {}
