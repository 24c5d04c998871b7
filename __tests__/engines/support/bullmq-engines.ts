/** Engines of bullmq() that end with the test, each with a queue of its own, and hosts that hear what they tell. */
import { randomUUID } from 'node:crypto';
import { bullmq } from 'express-background-tasks/bullmq';
import type { TaskEngine } from 'express-background-tasks/testing/engine';
import { atEnd } from '../../support/cleanup.ts';
import { makeGate } from '../../support/gates.ts';

export type BullMQOptions = Parameters<typeof bullmq>[0];

/**
 * A lock that is taken away is noticed soon, and well before the renewal that would take it again; others hold also where the
 * machine is busy.
 */
export const WATCHED = { lockDuration: 6_000, stalledInterval: 100 };

export interface Host {
  readonly warnings: string[];
  readonly errors: Error[];
  warn(message: string): void;
  error(error: Error): void;
  /** Resolves when an error has been reported. */
  readonly failed: Promise<void>;
}

export function makeHost(): Host {
  const warnings: string[] = [];
  const errors: Error[] = [];
  const failed = makeGate();
  return {
    warnings,
    errors,
    warn: (message) => warnings.push(message),
    error: (error) => {
      errors.push(error);
      failed.open();
    },
    failed: failed.opened,
  };
}

export async function startEngine(options: BullMQOptions, host = makeHost()): Promise<TaskEngine> {
  const engine = makeEngine(options);
  await engine.start(host);
  return engine;
}

export function makeEngine(options: BullMQOptions): TaskEngine {
  const engine = bullmq({ queue: randomUUID(), ...options });
  atEnd(() => engine.close());
  return engine;
}
