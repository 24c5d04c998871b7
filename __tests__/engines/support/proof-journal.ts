/** What the programs of a proof have reported, and what follows from it. */
import { News } from '../../support/news.ts';
import { Lateness } from './proof-lateness.ts';

export interface Entry {
  readonly kind: 'listening' | 'working' | 'accepted' | 'answering' | 'settled' | 'started' | 'ended' | 'log';
  readonly pid: number;
  /** By {@link now} of the program that reported it. */
  readonly at: number;
  readonly id: string;
  readonly attempt: number;
  readonly port: number;
  readonly state: string;
  readonly message: string;
  readonly code: string | undefined;
}

/** Milliseconds by a clock that all processes of a machine share, and that is never adjusted. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** All reports of all programs of a test, in the order received. */
export class Journal {
  readonly entries: Entry[] = [];
  /** Of the machine, from the beginning of the test. */
  readonly lateness: Lateness = new Lateness();
  readonly #news = new News();

  write(entry: Entry): void {
    this.entries.push(entry);
    this.#news.came();
  }

  of(kind: Entry['kind']): readonly Entry[] {
    return this.entries.filter((entry) => entry.kind === kind);
  }

  ids(kind: Entry['kind']): readonly string[] {
    return [...new Set(this.of(kind).map(({ id }) => id))];
  }

  /** Resolves as soon as the condition holds. */
  async until(isSo: () => boolean): Promise<void> {
    await this.#news.until(() => isSo() || undefined);
  }

  /** Those that were accepted, and have not ended. */
  get missing(): readonly string[] {
    const ended = new Set(this.ids('ended'));
    return this.ids('accepted').filter((id) => !ended.has(id));
  }

  /** Those that were started more than once. */
  get startedTwice(): readonly string[] {
    const started = this.of('started').map(({ id }) => id);
    return [...new Set(started.filter((id, index) => started.indexOf(id) !== index))];
  }

  /** What this process has started, in that order. */
  startedBy(pid: number): readonly string[] {
    return this.of('started')
      .filter((entry) => entry.pid === pid)
      .map(({ id }) => id);
  }

  /** What this process has started and not ended. */
  underWayIn(pid: number): readonly string[] {
    const ended = new Set(
      this.of('ended')
        .filter((entry) => entry.pid === pid)
        .map(({ id }) => id),
    );
    return this.startedBy(pid).filter((id) => !ended.has(id));
  }

  /** What had been accepted by then, by this process or by any, and had not been started. */
  waitingAt(moment: number, pid?: number): readonly string[] {
    const started = new Set(
      this.of('started')
        .filter(({ at }) => at <= moment)
        .map(({ id }) => id),
    );
    return this.of('accepted')
      .filter((entry) => entry.at <= moment && (pid === undefined || entry.pid === pid) && !started.has(entry.id))
      .map(({ id }) => id);
  }

  /** Milliseconds from a moment until the first start after it. */
  msUntilAnyStart(since: number): number {
    return Math.min(...this.of('started').map(({ at }) => (at > since ? at - since : Number.POSITIVE_INFINITY)));
  }

  /** Milliseconds from a moment until all of these had been started after it. */
  msUntilStarted(ids: readonly string[], since: number): number {
    const firstStarts = new Map<string, number>();
    for (const { id, at } of this.of('started')) if (at > since && !firstStarts.has(id)) firstStarts.set(id, at);
    return Math.max(...ids.map((id) => (firstStarts.get(id) ?? Number.POSITIVE_INFINITY) - since));
  }
}
