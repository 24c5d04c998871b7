// Tells the parent process when the task ran.
export function note(key) {
  process.send({ key, at: performance.timeOrigin + performance.now() });
}
