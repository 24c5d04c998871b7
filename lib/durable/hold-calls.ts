/** What an engine is told of tasks that it holds: in as few calls as can be, and nothing near the end of a hold. */
import { SECOND } from '../timers.ts';
import { Batches } from './batches.ts';
import type { DiscardResult, DurableTask, ReleaseResult } from './engine.ts';
import type { EngineLink } from './link.ts';

/** A task that an engine holds, or may hold. */
export interface Held {
  readonly id: string;
  readonly name: string;
  /** When its hold is over, by `performance.now()`. */
  readonly dueAt: number;
}

/** The hold of a task without one: it is over before it has begun. */
export const NOT_HELD: number = Number.NEGATIVE_INFINITY;

/** The end of the hold was near, and nothing was sent. */
export type Near = 'near';

/** A call may take so long, however soon a task must be accepted. */
const SHORTEST_MARGIN = 1 * SECOND;
/** Of a short hold no more than that is left alone. */
const MARGIN_PART = 0.25;

type Send<Result> = (ids: readonly string[]) => Promise<readonly Result[]>;

export class HoldCalls {
  readonly #link: EngineLink;
  /**
   * For so long before the end of a hold no call about it is begun, and no call takes longer: when a hold ends, and
   * nobody could know who was first, none is under way.
   */
  readonly #margin: number;
  readonly #releasing: Batches<Held, ReleaseResult | Near>;
  readonly #discarding: Batches<Held, DiscardResult | Near>;

  constructor(link: EngineLink, { hold, acceptTimeout }: { readonly hold: number; readonly acceptTimeout: number }) {
    const margin = Math.min(Math.max(acceptTimeout, SHORTEST_MARGIN), hold * MARGIN_PART);
    this.#link = link;
    this.#margin = margin;
    this.#releasing = this.#inTime((ids) => link.call('release tasks', margin, (engine) => engine.release(ids)));
    this.#discarding = this.#inTime((ids) => link.call('discard tasks', margin, (engine) => engine.discard(ids)));
  }

  async release(task: Held): Promise<ReleaseResult | Near> {
    return this.#isNear(task) ? 'near' : this.#releasing.add(task);
  }

  async discard(task: Held): Promise<DiscardResult | Near> {
    return this.#isNear(task) ? 'near' : this.#discarding.add(task);
  }

  find({ id }: Held): Promise<DurableTask | undefined> {
    return this.#link.call('find a task', this.#margin, (engine) => engine.find(id));
  }

  /** How late it is, is asked again when the call is made: a task may have waited behind others. */
  #inTime<Result>(send: Send<Result>): Batches<Held, Result | Near> {
    return new Batches<Held, Result | Near>(async (tasks) => {
      const sent = tasks.filter((task) => !this.#isNear(task));
      const answers = sent.length === 0 ? [] : await send(sent.map(({ id }) => id));
      const answerOf = new Map(sent.map((task, index) => [task, answers[index] as Result]));
      return tasks.map((task) => answerOf.get(task) ?? 'near');
    });
  }

  #isNear({ dueAt }: Held): boolean {
    return performance.now() > dueAt - this.#margin;
  }
}
