/** A list that is linked through its entries: taking one out of the middle costs the same however many there are. */

/** What can stand in a {@link LinkedList}. The links belong to the list; each entry can be in one list at a time. */
export interface Linked<Entry> {
  previous: Entry | undefined;
  next: Entry | undefined;
}

/** A `Set` would keep the order as well. Where entries come and go with every task it is dear: `takeOut` says why. */
export class LinkedList<Entry extends Linked<Entry>> {
  first: Entry | undefined;
  last: Entry | undefined;

  append(entry: Entry): void {
    entry.previous = this.last;
    if (this.last === undefined) this.first = entry;
    else this.last.next = entry;
    this.last = entry;
  }

  prepend(entry: Entry): void {
    entry.next = this.first;
    if (this.first === undefined) this.last = entry;
    else this.first.previous = entry;
    this.first = entry;
  }

  /** Takes out an entry of this list, wherever it stands. */
  remove(entry: Entry): void {
    const { previous, next } = entry;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
  }
}
