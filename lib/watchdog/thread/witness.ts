/** Sees where the main thread is while it is blocked: its stack, its task, and whether it is still there a moment later. */
import { setTimeout as delay } from 'node:timers/promises';
import { sharedNow } from '../../clock.ts';
import type { Witness } from '../block.ts';
import type { Pulse } from '../pulse.ts';
import { DebuggerSession, LookOverError } from './debugger-session.ts';
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
      opening.catch(() => {});
      const first = await this.#session.pause(askThread);
      const { heardAt, enabledAt, enablingMs } = await opening;
      const { whereabouts, request } = first.answer;
      if (whereabouts?.beats !== beats) return undefined;
      this.#phase = 'reading';
      const stoppingMs = stoppingWithin(first.at - enabledAt, enablingMs);
      const unheardMs = heardAt - askedAt + (first.at - enabledAt - stoppingMs);
      const stack = await this.#reader.stackOf(first.frames, unheardMs > LATE);
      const witness = {
        whereabouts,
        request,
        stack,
        askedAt,
        unheardMs,
        isSame: undefined,
        holds: [{ from: askedAt, to: first.at + first.heldMs, heldMs: enablingMs + stoppingMs + first.heldMs }],
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
      if (second.answer.whereabouts?.beats !== witness.whereabouts.beats) return undefined;
      const heldMs = stoppingWithin(second.at - askedAt, enablingMs) + second.heldMs;
      const hold = { from: askedAt, to: second.at + second.heldMs, heldMs };
      return { ...witness, isSame: isSame(first, second.answer), holds: [...witness.holds, hold] };
    } catch {
      return undefined;
    }
  }
}

/** To stop takes the thread about as long as to get ready for it, at most, since both may walk the whole heap. The rest was native code. */
function stoppingWithin(ms: number, enablingMs: number): number {
  return Math.min(ms, enablingMs * LONGEST_STOPPING);
}
