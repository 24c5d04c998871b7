/** The beginning of a list, for a line that people read. */

const MOST_NAMED = 10;

/** The first of `all`, and how many more there are; empty where there are none. */
export function firstFew<Item>(all: readonly Item[], nameOf: (item: Item) => string): string {
  const others = all.length > MOST_NAMED ? ` and ${all.length - MOST_NAMED} more` : '';
  return all.slice(0, MOST_NAMED).map(nameOf).join(', ') + others;
}
