/** What was told a while ago, and is no news until then. */
export class RecentlyTold {
  readonly #knownUntil = new Map<string, number>();

  /** @param period for how many milliseconds it is none from here on. */
  isNews(what: string, period: number): boolean {
    const now = performance.now();
    for (const [known, until] of this.#knownUntil) if (until <= now) this.#knownUntil.delete(known);
    if (this.#knownUntil.has(what)) return false;
    this.#knownUntil.set(what, now + period);
    return true;
  }
}
