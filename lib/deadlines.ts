/** Time limits of running tasks. Most share one duration, so that they pass in the order in which they were set. */
import { AsyncResource } from 'node:async_hooks';

/** What has a time limit. The links belong to the deadlines; each entry can have one limit at a time. */
export interface Limited {
  deadline: Deadline | undefined;
  /** Called once, when the time is over; not after {@link Deadlines.clear}. */
  timeOut(): void;
}

interface Deadline {
  readonly at: number;
  readonly row: Row;
  previous: Limited | undefined;
  next: Limited | undefined;
}

/** All limits of one duration, the first to pass first, with a single timer for the first. */
interface Row {
  readonly duration: number;
  first: Limited | undefined;
  last: Limited | undefined;
  timer: NodeJS.Timeout | undefined;
}

/**
 * A timer for each duration instead of one for each task: a timer costs a short task more than all the rest, and
 * most are cleared before they fire.
 */
export class Deadlines {
  readonly #rows = new Map<number, Row>();
  /** A timer must not carry the async context of the task that happened to set it to those that it fires for. */
  readonly #neutral = new AsyncResource('BackgroundTaskDeadlines');

  set(entry: Limited, duration: number, now: number): void {
    const row = this.#rows.get(duration) ?? this.#addRow(duration);
    entry.deadline = { at: now + duration, row, previous: row.last, next: undefined };
    if (row.last?.deadline) row.last.deadline.next = entry;
    else row.first = entry;
    row.last = entry;
    // A timer that was left running, for want of anything to watch, fires early at worst: it is then set anew.
    row.timer ??= this.#startTimer(row, duration);
    row.timer.ref();
  }

  clear(entry: Limited): void {
    const { deadline } = entry;
    if (deadline === undefined) return;
    entry.deadline = undefined;
    const { row, previous, next } = deadline;
    if (previous?.deadline) previous.deadline.next = next;
    else row.first = next;
    if (next?.deadline) next.deadline.previous = previous;
    else row.last = previous;
    if (row.first === undefined) row.timer?.unref();
  }

  #addRow(duration: number): Row {
    const row: Row = { duration, first: undefined, last: undefined, timer: undefined };
    this.#rows.set(duration, row);
    return row;
  }

  #startTimer(row: Row, milliseconds: number): NodeJS.Timeout {
    return this.#neutral.runInAsyncScope(() => setTimeout(() => this.#fire(row), milliseconds));
  }

  #fire(row: Row): void {
    row.timer = undefined;
    const now = performance.now();
    for (let { first } = row; first?.deadline !== undefined; { first } = row) {
      const left = first.deadline.at - now;
      if (left > 0) {
        row.timer = this.#startTimer(row, Math.ceil(left));
        return;
      }
      this.clear(first);
      first.timeOut();
    }
    this.#rows.delete(row.duration);
  }
}
