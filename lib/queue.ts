/** What waits for a free thread or process: the highest priority first, in the order added within one. */

/** What can stand in a {@link Queue}. The links belong to the queue; each entry can be in one queue at a time. */
export interface Queued {
  readonly priority: number;
  queueLinks: QueueLinks | undefined;
}

interface QueueLinks {
  previous: Queued | undefined;
  next: Queued | undefined;
}

interface Level {
  first: Queued | undefined;
  last: Queued | undefined;
}

/**
 * A linked list for each priority that is in use. Adding, taking and removing from the middle cost the same however
 * many wait; there are at most 201 priorities.
 */
export class Queue<Entry extends Queued> {
  readonly #levels = new Map<number, Level>();
  /** The priorities in use, lowest first: the next to be taken is at the end. */
  readonly #priorities: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(entry: Entry): void {
    const level = this.#levels.get(entry.priority) ?? this.#addLevel(entry.priority);
    entry.queueLinks = { previous: level.last, next: undefined };
    if (level.last?.queueLinks) level.last.queueLinks.next = entry;
    else level.first = entry;
    level.last = entry;
    this.#size += 1;
  }

  /** Puts an entry in front of all others of its priority. */
  unshift(entry: Entry): void {
    const level = this.#levels.get(entry.priority) ?? this.#addLevel(entry.priority);
    entry.queueLinks = { previous: undefined, next: level.first };
    if (level.first?.queueLinks) level.first.queueLinks.previous = entry;
    else level.last = entry;
    level.first = entry;
    this.#size += 1;
  }

  /** In the order in which they would be taken. */
  *[Symbol.iterator](): Iterator<Entry> {
    for (const priority of this.#priorities.toReversed()) {
      let entry = this.#levels.get(priority)?.first;
      for (; entry !== undefined; entry = entry.queueLinks?.next) yield entry as Entry;
    }
  }

  shift(): Entry | undefined {
    const highest = this.#priorities.at(-1);
    if (highest === undefined) return undefined;
    const entry = this.#levels.get(highest)?.first as Entry;
    this.remove(entry);
    return entry;
  }

  /** Takes an entry out wherever it stands; `false` if it does not stand here. */
  remove(entry: Entry): boolean {
    const links = entry.queueLinks;
    const level = this.#levels.get(entry.priority);
    if (links === undefined || level === undefined) return false;
    if (links.previous?.queueLinks) links.previous.queueLinks.next = links.next;
    else level.first = links.next;
    if (links.next?.queueLinks) links.next.queueLinks.previous = links.previous;
    else level.last = links.previous;
    entry.queueLinks = undefined;
    this.#size -= 1;
    if (level.first === undefined) this.#removeLevel(entry.priority);
    return true;
  }

  #addLevel(priority: number): Level {
    const level: Level = { first: undefined, last: undefined };
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
