/** Small things for making elements and writing numbers. Text is always set as text: it may be somebody else's. */

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** With a space that no line breaks at. */
export function milliseconds(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)}\u00a0s`;
  return `${value.toFixed(value < 10 ? 1 : 0)}\u00a0ms`;
}
