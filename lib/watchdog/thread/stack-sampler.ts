/** Finds out where the main thread is while it is blocked: its stack, its task, and whether it is still there a moment later. */
import { setTimeout as delay } from 'node:timers/promises';
import { sharedNow } from '../../clock.ts';
import type { SamplingGate } from '../sampling-gate.ts';
import type { SamplingTurn } from '../sampling-turn.ts';
import type { StackSample } from '../stack-sample.ts';
import { DebuggerSession, type Pause, SessionEndedError } from './debugger-session.ts';
import { type Answer, askThread, isSameWork } from './questions.ts';
import type { Overhead } from './scheduling-history.ts';
import { StackReader } from './stack-reader.ts';

/** A thread that does not respond for so many milliseconds is in native code. */
const NATIVE_FROM = 20;
/** Pausing the thread took at most this many times as long as enabling the debugger, measured, with a margin. */
const LONGEST_PAUSING = 1.25;

export class StackSampler {
  readonly #session = new DebuggerSession();
  readonly #reader = new StackReader(this.#session);
  readonly #gate: SamplingGate;
  readonly #turn: SamplingTurn;
  readonly #msBetweenSamples: number;
  /** The main thread goes on while its stack is read, so the end of the block need not interrupt the reading. */
  #phase: 'pausing' | 'reading' = 'pausing';
  #isOver = false;
  readonly #overheads: Overhead[] = [];

  constructor(gate: SamplingGate, turn: SamplingTurn, msBetweenSamples: number) {
    this.#gate = gate;
    this.#turn = turn;
    this.#msBetweenSamples = msBetweenSamples;
  }

  /**
   * To be called once. Resolves to `undefined` if the block was over before the thread could be paused.
   *
   * @throws {DebuggedError} if another debugger has paused the main thread.
   */
  async sample(beats: number, onFirst: (sample: StackSample) => void): Promise<StackSample | undefined> {
    if (this.#isOver || !this.#gate.enter()) return undefined;
    try {
      if (!this.#turn.take()) return undefined;
      return await this.#sampleTwice(beats, onFirst);
    } catch (thrown) {
      if (this.#isOver || thrown instanceof SessionEndedError) return undefined;
      throw thrown;
    } finally {
      this.stop();
      this.#turn.pass();
      this.#gate.leave();
    }
  }

  /** What sampling has cost the main thread so far. */
  get overheads(): readonly Overhead[] {
    return this.#overheads;
  }

  /** Ends everything at once, for a process that exits. */
  stop(): void {
    this.#isOver = true;
    this.#session.end();
  }

  /** The block is over: a pause from here on would hit work that has nothing to do with it. */
  end(): void {
    this.#isOver = true;
    if (this.#phase === 'pausing') this.#session.end();
  }

  async #sampleTwice(beats: number, onFirst: (sample: StackSample) => void): Promise<StackSample | undefined> {
    const askedAt = sharedNow();
    // Not awaited: the thread has to pause where the request reaches it. If opening fails, so does the pause.
    const opening = this.#session.open();
    opening.then(
      ({ enabledAt, enablingMs }) => this.#overheads.push({ from: askedAt, to: enabledAt, ms: enablingMs }),
      () => {},
    );
    const first = await this.#session.pause(askThread);
    const { respondedAt, enabledAt, enablingMs } = await opening;
    const { work, request } = first.answer;
    const pausingMs = this.#addOverhead(first, enabledAt, enablingMs);
    if (work?.beats !== beats) return undefined;
    this.#phase = 'reading';
    const unresponsiveMs = respondedAt - askedAt + (first.at - enabledAt - pausingMs);
    const stack = await this.#reader.stackOf(first.frames, unresponsiveMs > NATIVE_FROM);
    const sample = { stack, work, request, askedAt, unresponsiveMs, isSameLater: undefined };
    onFirst(sample);
    return (await this.#sampleAgain(sample, first.answer, enablingMs)) ?? sample;
  }

  async #sampleAgain(sample: StackSample, first: Answer, enablingMs: number): Promise<StackSample | undefined> {
    await delay(this.#msBetweenSamples);
    if (this.#isOver) return undefined;
    this.#phase = 'pausing';
    try {
      const askedAt = sharedNow();
      const second = await this.#session.pause(askThread);
      this.#addOverhead(second, askedAt, enablingMs);
      if (second.answer.work?.beats !== sample.work.beats) return undefined;
      return { ...sample, isSameLater: isSameWork(first, second.answer) };
    } catch {
      return undefined;
    }
  }

  /**
   * Pausing takes the thread about as long as enabling the debugger, since both may walk the whole heap. If it took
   * longer to pause, the thread was in native code for the rest of the time.
   *
   * @returns for how long the thread was busy with pausing, at most.
   */
  #addOverhead({ at, pausedMs }: Pause<Answer>, from: number, enablingMs: number): number {
    const pausingMs = Math.min(at - from, enablingMs * LONGEST_PAUSING);
    this.#overheads.push({ from, to: at + pausedMs, ms: pausingMs + pausedMs });
    return pausingMs;
  }
}
