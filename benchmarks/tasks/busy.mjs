// A blocking task that takes the same time wherever it runs.

export function busyFor(milliseconds, _data) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}
