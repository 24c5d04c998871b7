/** Calls about tasks that an engine holds: as few as possible, and none near the end of a hold. */
import type { ResolvedDurableOptions } from '../options/durable.ts';
import type { NamedTask } from '../task.ts';
import { SECOND } from '../time/timers.ts';
import { Batches } from './batches.ts';
import type { DiscardResult, DurableTask, ReleaseResult } from './engine.ts';
import type { EngineLink } from './engine-link.ts';

/** A task that an engine holds, or may hold. */
export interface Held extends NamedTask {
  /** When the hold is over, by `performance.now()`. */
  readonly dueAt: number;
}

/** `dueAt` of a task without a hold. */
export const NOT_HELD: number = Number.NEGATIVE_INFINITY;

/** Instead of an answer: the end of the hold is near, and the engine was not called. */
export type Near = 'near';

const NEAR: Promise<Near> = Promise.resolve('near');

/** A call needs some time, even where `acceptTimeout` is shorter. */
const SHORTEST_MARGIN = 1 * SECOND;
/** The margin takes at most this part of a hold. */
const MARGIN_PART = 0.25;

type Send<Result> = (ids: readonly string[]) => Promise<readonly Result[]>;

export class HoldCalls {
  readonly #link: EngineLink;
  /**
   * Within this many milliseconds before a hold ends, no call about the task is started, and no call may last longer. So
   * no call is in flight at the moment the hold ends, and it is always known whether the call or the end of the hold came
   * first.
   */
  readonly #margin: number;
  readonly #releasing: Batches<Held, ReleaseResult | Near>;
  readonly #discarding: Batches<Held, DiscardResult | Near>;

  constructor(link: EngineLink, { hold, acceptTimeout }: ResolvedDurableOptions) {
    const margin = Math.min(Math.max(acceptTimeout, SHORTEST_MARGIN), hold * MARGIN_PART);
    this.#link = link;
    this.#margin = margin;
    this.#releasing = this.#batched((ids) => link.call('release tasks', margin, (engine) => engine.release(ids)));
    this.#discarding = this.#batched((ids) => link.call('discard tasks', margin, (engine) => engine.discard(ids)));
  }

  release(task: Held): Promise<ReleaseResult | Near> {
    return this.#isNear(task) ? NEAR : this.#releasing.add(task);
  }

  discard(task: Held): Promise<DiscardResult | Near> {
    return this.#isNear(task) ? NEAR : this.#discarding.add(task);
  }

  find({ id }: Held): Promise<DurableTask | undefined> {
    return this.#link.call('find a task', this.#margin, (engine) => engine.find(id));
  }

  /** A task may have waited behind others: when its call is made, the end of its hold may be near. */
  #batched<Result>(send: Send<Result>): Batches<Held, Result | Near> {
    return new Batches<Held, Result | Near>(async (tasks) => {
      const near = new Set(tasks.filter((task) => this.#isNear(task)));
      const ids = tasks.filter((task) => !near.has(task)).map(({ id }) => id);
      const answers = (ids.length === 0 ? [] : await send(ids)).values();
      return tasks.map((task) => (near.has(task) ? 'near' : (answers.next().value as Result)));
    });
  }

  /** Below zero where it is near, and for a task without a hold. */
  msUntilNear({ dueAt }: Held): number {
    return dueAt - this.#margin - performance.now();
  }

  /** Below zero where the hold is over. */
  msUntilDue({ dueAt }: Held): number {
    return dueAt - performance.now();
  }

  #isNear(task: Held): boolean {
    return this.msUntilNear(task) < 0;
  }
}
