// Random choices that can be repeated from a seed.

/** mulberry32: small, even enough for choosing faults, and the same everywhere. */
export function makeRandom(seed) {
  let state = seed >>> 0;
  function next() {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const integer = (low, high) => low + Math.floor(next() * (high - low + 1));
  return {
    integer,
    /** True with this probability. */
    chance: (probability) => next() < probability,
    pick: (list) => list[integer(0, list.length - 1)],
  };
}
