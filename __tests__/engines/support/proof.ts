/** What the documentation promises about durable tasks, tested by killing everything that can be killed. One suite for all engines. */

import { proveDeploys } from './proof-deploys.ts';
import type { EngineUnderProof } from './proof-engine.ts';
import { proveHolds } from './proof-holds.ts';
import { proveOutages } from './proof-outages.ts';
import { proveProcesses } from './proof-processes.ts';
import { proveRecovery } from './proof-recovery.ts';

export function proveEngine(engine: EngineUnderProof): void {
  proveProcesses(engine);
  proveRecovery(engine);
  proveOutages(engine);
  proveHolds(engine);
  proveDeploys(engine);
}
