/** Tasks by their numbers, which count up. A `Map` of a million of them would stop the event loop whenever it grows. */

/** How many numbers share a page. Few, since a single task that stays keeps its whole page. */
const PAGE_SIZE = 128;

interface Page<Entry> {
  readonly index: number;
  readonly entries: (Entry | undefined)[];
  size: number;
}

export class NumberedSet<Entry extends { readonly number: number }> {
  readonly #pages = new Map<number, Page<Entry>>();
  /** The latest page: every new entry goes there, and most removals are from there. */
  #page: Page<Entry> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Its number must be higher than any before. */
  add(entry: Entry): void {
    const page = this.#pageOf(entry.number) ?? this.#addPage(entry.number);
    page.entries[entry.number % PAGE_SIZE] = entry;
    page.size += 1;
    this.#size += 1;
  }

  get(number: number): Entry | undefined {
    return this.#pageOf(number)?.entries[number % PAGE_SIZE];
  }

  delete(entry: Entry): void {
    const page = this.#pageOf(entry.number) as Page<Entry>;
    page.entries[entry.number % PAGE_SIZE] = undefined;
    page.size -= 1;
    this.#size -= 1;
    // The latest page is kept while numbers of it are still to come.
    if (page.size === 0 && page !== this.#page) this.#pages.delete(page.index);
  }

  /** In the order of their numbers. */
  *[Symbol.iterator](): Iterator<Entry> {
    for (const { entries } of this.#pages.values()) {
      for (const entry of entries) if (entry !== undefined) yield entry;
    }
  }

  #pageOf(number: number): Page<Entry> | undefined {
    const index = Math.floor(number / PAGE_SIZE);
    return index === this.#page?.index ? this.#page : this.#pages.get(index);
  }

  #addPage(number: number): Page<Entry> {
    if (this.#page?.size === 0) this.#pages.delete(this.#page.index);
    const page: Page<Entry> = { index: Math.floor(number / PAGE_SIZE), entries: new Array(PAGE_SIZE), size: 0 };
    this.#pages.set(page.index, page);
    this.#page = page;
    return page;
  }
}
