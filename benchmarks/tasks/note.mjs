// Tells whoever started this process when it ran.
export function note(key) {
  process.send({ key, at: performance.timeOrigin + performance.now() });
}
