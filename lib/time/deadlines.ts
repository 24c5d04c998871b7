/** Time limits of tasks and calls. Most share one duration, so that they pass in the order in which they were set. */
import { NOWHERE } from '../async-context.ts';
import { type Linked, LinkedList } from '../collections/linked-list.ts';
import * as real from './real-time.ts';
import { SECOND } from './timers.ts';

/** What has a time limit. All but `timeOut` belongs to the deadlines; each entry can have one limit at a time. */
export interface Limited extends Linked<Limited> {
  /** When the time is over, by `performance.now()`. */
  deadline: number;
  deadlineRow: Row | undefined;
  /** Called once, when the time is over; not after {@link Deadlines.clear}. */
  timeOut(): void;
}

/** All limits of one duration, the first to pass first, with a single timer for the first. */
interface Row {
  readonly duration: number;
  readonly entries: LinkedList<Limited>;
  timer: NodeJS.Timeout | undefined;
  /** What made the timer. */
  startedWith: typeof setTimeout | undefined;
}

const MOST_ROWS_AT_REST = 32;
/** How often rows at rest are removed, in milliseconds. */
const SWEEP_EVERY = 1 * SECOND;

/** A timer that fires so many milliseconds after its time was held up: the loop stood still. */
const LATE = 5;

/**
 * A timer for each duration instead of one for each task: a timer costs a short task more than all the rest, and
 * most are cleared before they fire.
 */
export class Deadlines {
  readonly #rows = new Map<number, Row>();
  #sweepTimer: NodeJS.Timeout | undefined;

  set(entry: Limited, duration: number, now: number): void {
    const row = this.#rows.get(duration) ?? this.#addRow(duration);
    entry.deadline = now + duration;
    entry.deadlineRow = row;
    row.entries.append(entry);
    // A test may have replaced the global timers since: a timer of the old ones might never fire.
    if (row.startedWith !== setTimeout) row.timer = undefined;
    // A timer left running when the row became empty can only fire too early: it is then set again.
    row.timer ??= this.#startTimer(row, duration);
    row.timer.ref();
  }

  clear(entry: Limited): void {
    const row = entry.deadlineRow;
    if (row === undefined) return;
    row.entries.remove(entry);
    entry.deadlineRow = undefined;
    if (row.entries.first === undefined) this.#rest(row);
  }

  /** Ends all limits, as if their time were over. */
  passAll(): void {
    for (const { entries } of this.#rows.values()) {
      for (let { first } = entries; first !== undefined; { first } = entries) this.#pass(first);
    }
  }

  #pass(entry: Limited): void {
    this.clear(entry);
    entry.timeOut();
  }

  /** Few rows are kept for the next that has such a limit. Limits that differ each time must not leave a timer each. */
  #rest(row: Row): void {
    if (this.#rows.size <= MOST_ROWS_AT_REST) {
      row.timer?.unref();
      this.#sweepTimer ??= NOWHERE.runInAsyncScope(() => real.setTimeout(() => this.#sweep(), SWEEP_EVERY).unref());
      return;
    }
    this.#remove(row);
  }

  /** A timer keeps all that its code can reach: the whole application, which a test runner loads anew for each file. */
  #sweep(): void {
    this.#sweepTimer = undefined;
    for (const row of this.#rows.values()) if (row.entries.first === undefined) this.#remove(row);
  }

  #remove(row: Row): void {
    clearTimeout(row.timer);
    this.#forget(row);
  }

  /** Another row of the same duration may have replaced it by now. */
  #forget(row: Row): void {
    if (this.#rows.get(row.duration) === row) this.#rows.delete(row.duration);
  }

  #addRow(duration: number): Row {
    const row: Row = { duration, entries: new LinkedList(), timer: undefined, startedWith: undefined };
    this.#rows.set(duration, row);
    return row;
  }

  #startTimer(row: Row, milliseconds: number): NodeJS.Timeout {
    row.startedWith = setTimeout;
    // A timer must not carry the context of the task that happened to set it to those that it fires for.
    return NOWHERE.runInAsyncScope(() => setTimeout(() => this.#fire(row), milliseconds));
  }

  /** After the loop stood still, timers come first. What has ended in time is heard of in the same turn, and has passed no limit. */
  #fire(row: Row): void {
    const { first } = row.entries;
    const isLate = first !== undefined && performance.now() - first.deadline > LATE;
    if (isLate) real.setImmediate(() => this.#passDue(row));
    else this.#passDue(row);
  }

  /** `row.timer` keeps the timer that has fired until the loop ends, so that a limit set meanwhile starts no second one. */
  #passDue(row: Row): void {
    const now = performance.now();
    for (let { first } = row.entries; first !== undefined; { first } = row.entries) {
      const left = first.deadline - now;
      if (left > 0) {
        row.timer = this.#startTimer(row, Math.ceil(left));
        return;
      }
      this.#pass(first);
    }
    this.#forget(row);
  }
}
