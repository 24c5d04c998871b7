/** The latest garbage collections of this thread that took long enough to matter. */
import { PerformanceObserver } from 'node:perf_hooks';

/** In milliseconds. */
const SHORTEST_KEPT = 1;
const MOST_KEPT = 2_048;

export class GarbageCollections {
  #kept: { readonly from: number; readonly to: number }[] = [];
  readonly #observer = new PerformanceObserver((list) => this.#keep(list.getEntries()));

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** How many milliseconds of this span went into collections. Both times are those of `performance.now()`. */
  msWithin(from: number, to: number): number {
    this.#keep(this.#observer.takeRecords());
    return this.#kept.reduce((sum, one) => sum + Math.max(0, Math.min(to, one.to) - Math.max(from, one.from)), 0);
  }

  stop(): void {
    this.#observer.disconnect();
  }

  #keep(entries: readonly { readonly startTime: number; readonly duration: number }[]): void {
    for (const { startTime, duration } of entries) {
      if (duration >= SHORTEST_KEPT) this.#kept.push({ from: startTime, to: startTime + duration });
    }
    if (this.#kept.length > MOST_KEPT) this.#kept.splice(0, this.#kept.length - MOST_KEPT);
  }
}
