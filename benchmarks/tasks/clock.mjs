// A clock that is the same in all threads of a process: `performance.now()` starts from zero in each.

export function monotonicMs() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}
