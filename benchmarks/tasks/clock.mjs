// A clock that all threads of a process read alike: `performance.now()` begins anew in each.

export function monotonicMs() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}
