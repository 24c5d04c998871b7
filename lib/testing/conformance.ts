/** What every engine must do, as cases for any test runner. */
import { SECOND } from '../time/timers.ts';
import { holds } from './conformance/holds.ts';
import { order } from './conformance/order.ts';
import { outcomes } from './conformance/outcomes.ts';
import { races } from './conformance/races.ts';
import { type MakeEngine, Rig } from './conformance/rig.ts';
import { workers } from './conformance/workers.ts';

/** One thing that an engine must do. */
export interface EngineCase {
  /** What the engine must do, as a sentence. */
  readonly name: string;
  /** Makes an engine, tries it, and cleans up. Rejects if the engine does not do what `name` says. */
  run(): Promise<void>;
}

/** How long the cases wait. */
export interface ConformanceOptions {
  /**
   * How long a case waits for something to happen, and for an answer, before it fails. In milliseconds.
   *
   * Give your test runner more than that: a case may wait more than once.
   *
   * @default 20_000
   */
  readonly patience?: number;
  /**
   * How long a case waits until a task whose worker has died is started by another. In milliseconds.
   *
   * @default 60_000
   */
  readonly recoveryPatience?: number;
}

const PATIENCE = 20 * SECOND;
const RECOVERY_PATIENCE = 60 * SECOND;

/**
 * The cases that an engine of your own must pass, as `bullmq()` and `pgBoss()` do.
 *
 * @param make makes an engine over an empty store, once for each case.
 * @example
 * for (const { name, run } of engineConformance(makeMyEngine)) it(name, run, 90_000);
 */
export function engineConformance(make: MakeEngine, options: ConformanceOptions = {}): readonly EngineCase[] {
  const { patience = PATIENCE, recoveryPatience = RECOVERY_PATIENCE } = options;
  const cases = { ...holds, ...races, ...order, ...outcomes, ...workers };
  return Object.entries(cases).map(([name, check]) => ({
    name,
    async run() {
      const rig = new Rig(await make(), { patience, recoveryPatience });
      try {
        await rig.start();
        await check(rig);
      } catch (thrown) {
        await rig.dispose().catch(() => {});
        throw thrown;
      }
      await rig.dispose();
    },
  }));
}
