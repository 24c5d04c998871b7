/** A task on its way to the engine. */
import type { Attempt } from '../executors/executor.ts';
import type { TaskState } from '../task-state.ts';
import type { DurableRun } from './durable-run.ts';
import type { StagedTask } from './engine.ts';
import { type Held, NOT_HELD } from './hold-calls.ts';

/** Whether a task is held is decided when it is sent to the engine. */
type Unheld = Omit<StagedTask, 'holdMs'>;

/**
 * What the engine said when it was asked to take a task. `uncommitted`: it has the task if a transaction is committed.
 * `unknown`: it may have the task, or may yet get it.
 */
export type Acceptance = 'accepted' | 'uncommitted' | 'refused' | 'unknown';

/**
 * The ends of a run after which its task is withdrawn. After `abandoned` it is not: like the task of a process that
 * dies, it runs when its hold is over.
 */
const WITHDRAWN_AFTER: ReadonlySet<TaskState> = new Set(['skipped', 'cancelled', 'failed']);

export class HandedTask implements Held {
  readonly run: DurableRun;
  /** How much the task is given, as JSON. */
  readonly bytes: number;
  /** The user's client, in whose transaction the task is staged. That transaction may never be committed. */
  readonly transaction: unknown;
  dueAt = NOT_HELD;
  /** Set when the task was not accepted in time, or not at all. The engine is not asked to take it after that. */
  isGivenUp = false;
  /** Set when the engine is asked to take the task. */
  acceptance: Promise<Acceptance> | undefined;
  /** Set when the task may run. */
  attempt: Attempt | undefined;
  /** Not kept once it is sent: a task may be withdrawn for as long as its hold lasts, and its arguments may be large. */
  #staged: Unheld | undefined;

  constructor(run: DurableRun, staged: Unheld, bytes: number, transaction: unknown) {
    this.run = run;
    this.#staged = staged;
    this.bytes = bytes;
    this.transaction = transaction;
  }

  get id(): string {
    return this.run.id;
  }

  get name(): string {
    return this.run.name;
  }

  /** Whether the engine holds it, or will once it has been asked to take it. */
  get isHeld(): boolean {
    if (this.#staged === undefined) return this.dueAt !== NOT_HELD;
    // One that may run already needs no hold. One that is to be withdrawn does: without a hold it would run.
    return this.attempt === undefined || this.isWithdrawn;
  }

  /** Whether the task must not run any more, however far it has come. */
  get isWithdrawn(): boolean {
    return WITHDRAWN_AFTER.has(this.run.state);
  }

  /** What the engine is given, once. */
  toStage(hold: number): StagedTask {
    const { envelope, priority, retry } = this.#staged as Unheld;
    const holdMs = this.isHeld ? hold : 0;
    this.#staged = undefined;
    if (holdMs > 0) this.dueAt = performance.now() + holdMs;
    return { envelope, holdMs, priority, retry };
  }

  /** Whether the engine has it. Resolves with the engine's final answer, even after the caller's own wait timed out. */
  async finalAcceptance(): Promise<Acceptance> {
    // Once `accepted` has settled, the engine has been asked or never will be.
    await this.run.accepted.catch(() => {});
    const acceptance = (await this.acceptance) ?? 'refused';
    return acceptance === 'accepted' && this.transaction !== undefined ? 'uncommitted' : acceptance;
  }
}
