/** What waits for a free thread or process: the highest priority first, in the order added within one. */

/** What can stand in a {@link Queue}. The links belong to the queue; each entry can be in one queue at a time. */
export interface Queued<Entry> {
  readonly priority: number;
  previousInQueue: Entry | undefined;
  nextInQueue: Entry | undefined;
}

interface Level<Entry> {
  first: Entry | undefined;
  last: Entry | undefined;
}

/**
 * A linked list for each priority that is in use. Adding, taking and removing from the middle cost the same however
 * many wait; there are at most 201 priorities.
 */
export class Queue<Entry extends Queued<Entry>> {
  readonly #levels = new Map<number, Level<Entry>>();
  /** The priorities in use, lowest first: the next to be taken is at the end. */
  readonly #priorities: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(entry: Entry): void {
    const level = this.#levelOf(entry);
    entry.previousInQueue = level.last;
    if (level.last === undefined) level.first = entry;
    else level.last.nextInQueue = entry;
    level.last = entry;
    this.#size += 1;
  }

  /** Puts an entry in front of all others of its priority. */
  unshift(entry: Entry): void {
    const level = this.#levelOf(entry);
    entry.nextInQueue = level.first;
    if (level.first === undefined) level.last = entry;
    else level.first.previousInQueue = entry;
    level.first = entry;
    this.#size += 1;
  }

  /** In the order in which they would be taken. */
  *[Symbol.iterator](): Iterator<Entry> {
    for (const priority of this.#priorities.toReversed()) {
      let entry = this.#levels.get(priority)?.first;
      for (; entry !== undefined; entry = entry.nextInQueue) yield entry;
    }
  }

  shift(): Entry | undefined {
    const highest = this.#priorities.at(-1);
    if (highest === undefined) return undefined;
    const entry = this.#levels.get(highest)?.first as Entry;
    this.remove(entry);
    return entry;
  }

  /** Takes an entry out, wherever in the queue it stands. */
  remove(entry: Entry): void {
    const level = this.#levels.get(entry.priority) as Level<Entry>;
    const { previousInQueue: previous, nextInQueue: next } = entry;
    if (previous === undefined) level.first = next;
    else previous.nextInQueue = next;
    if (next === undefined) level.last = previous;
    else next.previousInQueue = previous;
    entry.previousInQueue = undefined;
    entry.nextInQueue = undefined;
    this.#size -= 1;
    if (level.first === undefined) this.#removeLevel(entry.priority);
  }

  #levelOf({ priority }: Entry): Level<Entry> {
    return this.#levels.get(priority) ?? this.#addLevel(priority);
  }

  #addLevel(priority: number): Level<Entry> {
    const level: Level<Entry> = { first: undefined, last: undefined };
    this.#levels.set(priority, level);
    const higher = this.#priorities.findIndex((other) => other > priority);
    this.#priorities.splice(higher === -1 ? this.#priorities.length : higher, 0, priority);
    return level;
  }

  #removeLevel(priority: number): void {
    this.#levels.delete(priority);
    this.#priorities.splice(this.#priorities.indexOf(priority), 1);
  }
}
