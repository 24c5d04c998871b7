/** When Node collected garbage, for so long that it matters. */
import { PerformanceObserver } from 'node:perf_hooks';

/** Shorter ones are never to blame, in milliseconds. */
const SHORTEST = 1;
const MOST_KEPT = 2_048;

export class Collections {
  #kept: { readonly from: number; readonly to: number }[] = [];
  readonly #observer = new PerformanceObserver((list) => this.#keep(list.getEntries()));

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** Of this stretch, by `performance.now()`, how many milliseconds went into collections. */
  within(from: number, to: number): number {
    this.#keep(this.#observer.takeRecords());
    return this.#kept.reduce((sum, one) => sum + Math.max(0, Math.min(to, one.to) - Math.max(from, one.from)), 0);
  }

  stop(): void {
    this.#observer.disconnect();
  }

  #keep(entries: readonly { readonly startTime: number; readonly duration: number }[]): void {
    for (const { startTime, duration } of entries) {
      if (duration >= SHORTEST) this.#kept.push({ from: startTime, to: startTime + duration });
    }
    if (this.#kept.length > MOST_KEPT) this.#kept.splice(0, this.#kept.length - MOST_KEPT);
  }
}
