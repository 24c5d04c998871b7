/** What waits for a free thread or process: the highest priority first, in the order added within one. */
import { type Linked, LinkedList } from './collections/linked-list.ts';

/** What can stand in a {@link Queue}. */
export interface Queued<Entry> extends Linked<Entry> {
  readonly priority: number;
}

/**
 * A list for each priority that is in use. Adding, taking and removing from the middle cost the same however many wait;
 * there are at most 201 priorities.
 */
export class Queue<Entry extends Queued<Entry>> {
  readonly #levels = new Map<number, LinkedList<Entry>>();
  /** The priorities in use, lowest first: the next to be taken is at the end. */
  readonly #priorities: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(entry: Entry): void {
    this.#levelOf(entry).append(entry);
    this.#size += 1;
  }

  /** Puts an entry in front of all others of its priority. */
  unshift(entry: Entry): void {
    this.#levelOf(entry).prepend(entry);
    this.#size += 1;
  }

  /** In the order in which they would be taken. */
  *[Symbol.iterator](): Iterator<Entry> {
    for (const priority of this.#priorities.toReversed()) {
      let entry = this.#levels.get(priority)?.first;
      for (; entry !== undefined; entry = entry.next) yield entry;
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
    const { priority } = entry;
    const level = this.#levels.get(priority) as LinkedList<Entry>;
    level.remove(entry);
    this.#size -= 1;
    if (level.first === undefined) this.#removeLevel(priority);
  }

  #levelOf({ priority }: Entry): LinkedList<Entry> {
    return this.#levels.get(priority) ?? this.#addLevel(priority);
  }

  #addLevel(priority: number): LinkedList<Entry> {
    const level = new LinkedList<Entry>();
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
