/** The sampling of one block, from its beginning to the sample. */
import { doneWithin } from '../../timers.ts';
import type { StackSample } from '../stack-sample.ts';
import { DebuggedError } from './debugger-presence.ts';
import type { Overhead } from './scheduling-history.ts';
import type { StackSampler } from './stack-sampler.ts';

/** A stack that has not been read so many milliseconds after the end of the block is left out of the report. */
const LONGEST_READING = 500;

export class SamplingRun {
  readonly #sampler: StackSampler;
  readonly #done: Promise<StackSample | undefined>;
  #latest: StackSample | undefined;

  /** Stops the previous run and waits for its end: two would pause and resume the thread in each other's way. */
  constructor(
    sampler: StackSampler,
    beats: number,
    previous: SamplingRun | undefined,
    whenImpossible: (why: string) => void,
  ) {
    this.#sampler = sampler;
    previous?.stop();
    this.#done = this.#sample(beats, previous).catch((thrown: Error) => {
      if (!(thrown instanceof DebuggedError)) whenImpossible(thrown.message);
      return undefined;
    });
  }

  /** The sample as far as it has been taken. */
  get latest(): StackSample | undefined {
    return this.#latest;
  }

  /** What the run has cost the watched thread, whether or not it led to a sample. */
  get overheads(): readonly Overhead[] {
    return this.#sampler.overheads;
  }

  /** The block is over: resolves to the sample when the stack has been read. */
  async end(): Promise<StackSample | undefined> {
    this.#sampler.end();
    await doneWithin(LONGEST_READING, this.#done);
    this.stop();
    return this.#done;
  }

  stop(): void {
    this.#sampler.stop();
  }

  async #sample(beats: number, previous: SamplingRun | undefined): Promise<StackSample | undefined> {
    if (previous !== undefined) await previous.#done;
    return this.#sampler.sample(beats, (sample) => {
      this.#latest = sample;
    });
  }
}
