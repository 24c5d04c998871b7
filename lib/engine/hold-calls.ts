/** What an engine is told of tasks that it holds: in as few calls as can be, and nothing near the end of a hold. */
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

/** Near the end of a hold nobody may know who was first: so much of it, at most, is left alone. */
const MARGIN_PART = 0.25;

export class HoldCalls {
  readonly #link: EngineLink;
  /** For so long before the end of a hold no call about it is under way: none lasts longer than that. */
  readonly #margin: number;
  readonly #releasing: Batches<string, ReleaseResult>;
  readonly #discarding: Batches<string, DiscardResult>;

  constructor(link: EngineLink, { hold, acceptTimeout }: { readonly hold: number; readonly acceptTimeout: number }) {
    this.#link = link;
    this.#margin = Math.min(acceptTimeout, hold * MARGIN_PART);
    this.#releasing = new Batches((ids) => link.call('release tasks', this.#margin, (engine) => engine.release(ids)));
    this.#discarding = new Batches((ids) => link.call('discard tasks', this.#margin, (engine) => engine.discard(ids)));
  }

  async release({ id, dueAt }: Held): Promise<ReleaseResult | 'near'> {
    return this.#isNear(dueAt) ? 'near' : this.#releasing.add(id);
  }

  async discard({ id, dueAt }: Held): Promise<DiscardResult | 'near'> {
    return this.#isNear(dueAt) ? 'near' : this.#discarding.add(id);
  }

  find({ id }: Held): Promise<DurableTask | undefined> {
    return this.#link.call('find a task', this.#margin, (engine) => engine.find(id));
  }

  #isNear(dueAt: number): boolean {
    return performance.now() > dueAt - this.#margin;
  }
}
