/** Finds out where the main thread is while it is blocked: its stack, its task, and whether it is still there a moment later. */
import { setTimeout as delay } from 'node:timers/promises';
import { sharedNow } from '../../time/clock.ts';
import { doneWithin } from '../../time/timers.ts';
import type { SamplingGate } from '../sampling-gate.ts';
import type { SamplingTurn } from '../sampling-turn.ts';
import type { StackSample } from '../stack-sample.ts';
import { DebuggedError } from './debugger-presence.ts';
import { DebuggerSession, type Pause, SessionEndedError } from './debugger-session.ts';
import { type Answer, askThread, isSameWork } from './questions.ts';
import type { Overhead } from './scheduling-history.ts';
import { StackReader } from './stack-reader.ts';

/** A thread that does not respond for so many milliseconds is in native code. */
const NATIVE_FROM = 20;
/** Pausing the thread took at most this many times as long as enabling the debugger, measured, with a margin. */
const LONGEST_PAUSING = 1.25;
/** A stack that has not been read so many milliseconds after the end of the block is left out of the report. */
const LONGEST_READING = 500;

/** What all runs share. */
interface SamplingTools {
  readonly gate: SamplingGate;
  readonly turn: SamplingTurn;
  readonly msBetweenSamples: number;
}

export class SamplingRun {
  readonly #tools: SamplingTools;
  readonly #beats: number;
  readonly #session = new DebuggerSession();
  readonly #reader = new StackReader(this.#session);
  readonly #done: Promise<StackSample | undefined>;
  readonly #overheads: Overhead[] = [];
  #latest: StackSample | undefined;
  /** The main thread goes on while its stack is read, so the end of the block need not interrupt the reading. */
  #phase: 'pausing' | 'reading' = 'pausing';
  #isOver = false;

  /** Stops the previous run and waits for its end: two would pause and resume the thread in each other's way. */
  constructor(
    tools: SamplingTools,
    beats: number,
    previous: SamplingRun | undefined,
    whenImpossible: (why: string) => void,
  ) {
    this.#tools = tools;
    this.#beats = beats;
    previous?.stop();
    this.#done = this.#sample(previous).catch((thrown: Error) => {
      if (!(thrown instanceof DebuggedError)) whenImpossible(thrown.message);
      return undefined;
    });
  }

  /** The sample as far as it has been taken. */
  get latest(): StackSample | undefined {
    return this.#latest;
  }

  /** What the run has cost the main thread so far, whether or not it led to a sample. */
  get overheads(): readonly Overhead[] {
    return this.#overheads;
  }

  /** The block is over: a pause from here on would hit work that has nothing to do with it. Resolves to the sample when the stack has been read. */
  async end(): Promise<StackSample | undefined> {
    this.#isOver = true;
    if (this.#phase === 'pausing') this.#session.end();
    await doneWithin(LONGEST_READING, this.#done);
    this.stop();
    return this.#done;
  }

  /** Ends everything at once. */
  stop(): void {
    this.#isOver = true;
    this.#session.end();
  }

  /**
   * Resolves to `undefined` if the block was over before the thread could be paused.
   *
   * @throws {DebuggedError} if another debugger has paused the main thread.
   */
  async #sample(previous: SamplingRun | undefined): Promise<StackSample | undefined> {
    if (previous !== undefined) await previous.#done;
    const { gate, turn } = this.#tools;
    if (this.#isOver || !gate.enter()) return undefined;
    try {
      if (!turn.take()) return undefined;
      return await this.#sampleTwice();
    } catch (thrown) {
      if (this.#isOver || thrown instanceof SessionEndedError) return undefined;
      throw thrown;
    } finally {
      this.stop();
      turn.pass();
      gate.leave();
    }
  }

  async #sampleTwice(): Promise<StackSample | undefined> {
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
    if (work?.beats !== this.#beats) return undefined;
    this.#phase = 'reading';
    const unresponsiveMs = respondedAt - askedAt + (first.at - enabledAt - pausingMs);
    const stack = await this.#reader.stackOf(first.frames, unresponsiveMs > NATIVE_FROM);
    const sample = { stack, work, request, askedAt, unresponsiveMs, isSameLater: undefined };
    this.#latest = sample;
    return (await this.#sampleAgain(sample, first.answer, enablingMs)) ?? sample;
  }

  async #sampleAgain(sample: StackSample, first: Answer, enablingMs: number): Promise<StackSample | undefined> {
    await delay(this.#tools.msBetweenSamples);
    if (this.#isOver) return undefined;
    this.#phase = 'pausing';
    try {
      const askedAt = sharedNow();
      const second = await this.#session.pause(askThread);
      this.#addOverhead(second, askedAt, enablingMs);
      if (second.answer.work?.beats !== this.#beats) return undefined;
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
