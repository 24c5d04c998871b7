/** Helpers for making elements and formatting numbers. Text is always set as text, since it may come from other users. */

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** With a non-breaking space. */
export function milliseconds(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)}\u00a0s`;
  return `${value.toFixed(value < 10 ? 1 : 0)}\u00a0ms`;
}
