/** Waiting for what is written down as it comes: by a logger, a program, an event. It is looked for at each news, and not in between. */
export class News {
  readonly #looks = new Set<() => void>();

  /** To be called when something was written down. */
  came(): void {
    for (const look of [...this.#looks]) look();
  }

  /** Resolves to the first that `find` comes to, now or later; rejects with what it throws. */
  until<Found>(find: () => Found | undefined): Promise<Found> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        try {
          const found = find();
          if (found === undefined) return;
          resolve(found);
        } catch (thrown) {
          reject(thrown);
        }
        this.#looks.delete(look);
      };
      this.#looks.add(look);
      look();
    });
  }
}
