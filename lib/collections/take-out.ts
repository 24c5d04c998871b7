/** Lists of what is under way, whose order says nothing. */

/**
 * Takes `entry` out. A `Set` or a `Map` whose entries come and go with every task is dear: V8 gives it a new table every
 * few dozen changes, and each old table holds on to what was in it and to the next table. Once one of them is among the
 * old objects, all that follow survive the quick collections, with the requests behind their entries, until a full one.
 */
export function takeOut<Entry>(entries: Entry[], entry: Entry): void {
  const place = entries.indexOf(entry);
  if (place === -1) return;
  const last = entries.pop() as Entry;
  if (last !== entry) entries[place] = last;
}
