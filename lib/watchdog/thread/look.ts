/** A look at a thread that stands still, from its beginning to what it saw. */
import { doneWithin } from '../../timers.ts';
import type { Witness } from '../block.ts';
import type { Hold } from './attendance.ts';
import { DebuggedError } from './debugger-presence.ts';
import type { Witnessing } from './witness.ts';

/** In milliseconds: what has not been read by then is told without. */
const LONGEST_READING = 500;

export class Look {
  readonly #witnessing: Witnessing;
  readonly #testimony: Promise<Witness | undefined>;
  #seen: Witness | undefined;

  /** There is one look at a time: two would stop the thread, and let it go, in each other's way. */
  constructor(witnessing: Witnessing, beats: number, before: Look | undefined, whenImpossible: (why: string) => void) {
    this.#witnessing = witnessing;
    before?.stop();
    this.#testimony = this.#testify(beats, before).catch((thrown: Error) => {
      if (!(thrown instanceof DebuggedError)) whenImpossible(thrown.message);
      return undefined;
    });
  }

  /** What it has seen so far. */
  get seen(): Witness | undefined {
    return this.#seen;
  }

  /** What it has cost the thread, whether or not it has come to anything. */
  get holds(): readonly Hold[] {
    return this.#witnessing.holds;
  }

  /** The thread goes on. */
  end(): Promise<Witness | undefined> {
    this.#witnessing.end();
    return this.#whenRead();
  }

  stop(): void {
    this.#witnessing.stop();
  }

  async #testify(beats: number, before: Look | undefined): Promise<Witness | undefined> {
    if (before !== undefined) await before.#testimony;
    return this.#witnessing.testify(beats, (witness) => {
      this.#seen = witness;
    });
  }

  async #whenRead(): Promise<Witness | undefined> {
    await doneWithin(LONGEST_READING, this.#testimony);
    this.stop();
    return this.#testimony;
  }
}
