/**
 * The instances that the watchdog watches for. Held weakly: where an application is loaded anew in the same process, nobody
 * closes its former instances. They must go with it, and not report each block once more.
 */
import type { Watched } from './watched.ts';

export class WatchedSet implements Iterable<Watched> {
  readonly #references = new Set<WeakRef<Watched>>();

  get isEmpty(): boolean {
    return [...this].length === 0;
  }

  add(watched: Watched): void {
    this.#references.add(new WeakRef(watched));
  }

  delete(watched: Watched): void {
    for (const reference of this.#references) {
      if (reference.deref() === watched) this.#references.delete(reference);
    }
  }

  *[Symbol.iterator](): Iterator<Watched> {
    for (const reference of this.#references) {
      const watched = reference.deref();
      if (watched === undefined) this.#references.delete(reference);
      else yield watched;
    }
  }
}
