/** Sees where the main thread is while it is blocked: its stack, its task, and whether it is still there a moment later. */
import { setTimeout as delay } from 'node:timers/promises';
import { sharedNow } from '../../clock.ts';
import type { Witness } from '../block.ts';
import type { Pulse } from '../pulse.ts';
import type { Hold } from './attendance.ts';
import { DebuggerSession, LookOverError, type Pause } from './debugger-session.ts';
import { type Answer, askThread, isSame } from './questions.ts';
import { StackReader } from './stack-reader.ts';

/** A thread that has not heard for so many milliseconds was in native code. */
const LATE = 20;
/** The longest stopping that was seen, in the time that it took to enable the debugger, and some more. */
const LONGEST_STOPPING = 1.25;

export class Witnessing {
  readonly #session = new DebuggerSession();
  readonly #reader = new StackReader(this.#session);
  readonly #pulse: Pulse;
  readonly #betweenLooks: number;
  /** While it reads what it has seen, the main thread runs, and may be left to. */
  #phase: 'looking' | 'reading' = 'looking';
  #isOver = false;
  readonly #holds: Hold[] = [];

  constructor(pulse: Pulse, betweenLooks: number) {
    this.#pulse = pulse;
    this.#betweenLooks = betweenLooks;
  }

  /**
   * `undefined` if the block was over before the thread could be stopped.
   *
   * @throws {DebuggedError} if somebody else has stopped the main thread.
   */
  async testify(beats: number, onFirst: (witness: Witness) => void): Promise<Witness | undefined> {
    if (this.#isOver || !this.#pulse.beginLook()) return undefined;
    try {
      const askedAt = sharedNow();
      // Not waited for: the thread is to be stopped where it hears of it. If that fails, so does the stopping.
      const opening = this.#session.open();
      opening.then(
        ({ enabledAt, enablingMs }) => this.#holds.push({ from: askedAt, to: enabledAt, heldMs: enablingMs }),
        () => {},
      );
      const first = await this.#session.pause(askThread);
      const { heardAt, enabledAt, enablingMs } = await opening;
      const { whereabouts, request } = first.answer;
      const stoppingMs = this.#hold(first, enabledAt, enablingMs);
      if (whereabouts?.beats !== beats) return undefined;
      this.#phase = 'reading';
      const unheardMs = heardAt - askedAt + (first.at - enabledAt - stoppingMs);
      const stack = await this.#reader.stackOf(first.frames, unheardMs > LATE);
      const witness = {
        whereabouts,
        request,
        stack,
        askedAt,
        unheardMs,
        isSame: undefined,
      };
      onFirst(witness);
      return (await this.#lookAgain(witness, first.answer, enablingMs)) ?? witness;
    } catch (thrown) {
      if (this.#isOver || thrown instanceof LookOverError) return undefined;
      throw thrown;
    } finally {
      this.stop();
      this.#pulse.endLook();
    }
  }

  get holds(): readonly Hold[] {
    return this.#holds;
  }

  /** At once: the process exits. */
  stop(): void {
    this.#isOver = true;
    this.#session.end();
  }

  /** The block is over: whoever would be stopped from here on has nothing to do with it. */
  end(): void {
    this.#isOver = true;
    if (this.#phase === 'looking') this.#session.end();
  }

  async #lookAgain(witness: Witness, first: Answer, enablingMs: number): Promise<Witness | undefined> {
    await delay(this.#betweenLooks);
    if (this.#isOver) return undefined;
    this.#phase = 'looking';
    try {
      const askedAt = sharedNow();
      const second = await this.#session.pause(askThread);
      this.#hold(second, askedAt, enablingMs);
      if (second.answer.whereabouts?.beats !== witness.whereabouts.beats) return undefined;
      return { ...witness, isSame: isSame(first, second.answer) };
    } catch {
      return undefined;
    }
  }

  /**
   * To stop takes the thread about as long as to get ready for it, at most, since both may walk the whole heap. The rest
   * was native code.
   *
   * @returns how long it took to stop.
   */
  #hold({ at, heldMs }: Pause<Answer>, from: number, enablingMs: number): number {
    const stoppingMs = Math.min(at - from, enablingMs * LONGEST_STOPPING);
    this.#holds.push({ from, to: at + heldMs, heldMs: stoppingMs + heldMs });
    return stoppingMs;
  }
}
