/** An engine that is tested, and how quick it has to be. */
import { ProofPrograms } from './proof-programs.ts';

export const TIMEOUT = 120_000;
/** How many tasks a worker runs at once, unless a test says otherwise. */
export const CONCURRENCY = 4;
/** How many tasks a worker has at most: those that it runs, and as many whose end it still has to report. */
export const IN_HAND = 2 * CONCURRENCY;

/** A server of an engine, of the test's own. */
export interface EngineServer {
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

/** What the documentation gives for the options in use, in milliseconds. */
export interface Limits {
  /** Until another worker runs the tasks of one that has died. */
  readonly takeover: number;
  /** Until a worker sees that a hold is over by itself. */
  readonly look: number;
  /** Until a worker that has lost its engine has found it again. */
  readonly reunion: number;
}

/** Options that users have, and what they allow. */
export interface Recovery {
  /** As a row of the table calls them. */
  readonly settings: string;
  readonly options: object;
  readonly takeover: number;
}

export interface EngineUnderProof {
  /** As the programs import it. */
  readonly name: 'bullmq' | 'pgBoss';
  /** What it runs on, as the table in the documentation calls it. */
  readonly on: string;
  startServer(): Promise<EngineServer & { readonly url: string }>;
  /** Options under which a worker's death is noticed soon. */
  readonly quick: object;
  /** Under those. */
  readonly limits: Limits;
  readonly recoveries: readonly Recovery[];
  /** Whether it is the clocks of workers that end holds. */
  readonly workersKeepHolds: boolean;
}

export function programsOn({ name, quick }: EngineUnderProof, connection: string, options = quick): ProofPrograms {
  return new ProofPrograms(name, { connection, ...options });
}
