/** The times of `stats()`. Its counts are tested together with the tasks that they count. */
import { describe, expect, it } from '@jest/globals';
import { currentTask, type Outcome, type Percentiles } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { work } from './support/time.ts';
import { threads, workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

const NOTHING: Percentiles = { p50: 0, p90: 0, p99: 0, max: 0, mean: 0 };
/** By how much a percentile may be above the true value. */
const STEP = 1 / 16;

function expectToBeOf(percentiles: Percentiles, durations: readonly number[]): void {
  const sorted = [...durations].sort((one, other) => one - other);
  expect(percentiles.max).toBe(sorted.at(-1));
  expect(percentiles.mean).toBeCloseTo(sorted.reduce((sum, one) => sum + one) / sorted.length, 6);
  for (const [name, part] of [
    ['p50', 0.5],
    ['p90', 0.9],
    ['p99', 0.99],
  ] as const) {
    const truth = sorted[Math.ceil(sorted.length * part) - 1] as number;
    expect(percentiles[name]).toBeGreaterThanOrEqual(truth);
    expect(percentiles[name]).toBeLessThanOrEqual(truth * (1 + STEP));
  }
}

describe('`waitedMs` and `ranMs`', () => {
  it('are nothing before the first task, and after tasks that never started', async () => {
    const background = makeBackground({ pool: { maxThreads: 1 } });
    expect(background.stats()).toMatchObject({ waitedMs: NOTHING, ranMs: NOTHING });
    const neverStarted = background.add(threads.tasks.nothing);
    neverStarted.cancel();
    expect(await neverStarted.settled).toMatchObject({ state: 'cancelled', attempts: 0 });
    expect(background.stats()).toMatchObject({ settled: 1, waitedMs: NOTHING, ranMs: NOTHING });
  });

  it('tell how the times of the outcomes are spread, those of all attempts together', async () => {
    const background = makeBackground({ retry: { attempts: 2, delay: 1 } });
    const outcomes: Outcome[] = [];
    background.on('settled', (outcome) => outcomes.push(outcome));
    for (let ms = 1; ms <= 40; ms += 1) {
      background.add(async () => {
        await work(ms);
        if (ms % 10 === 0 && currentTask()?.attempt === 1) throw new Error('not yet');
      });
    }
    await background.idle();
    expect(outcomes.filter(({ attempts }) => attempts === 2)).toHaveLength(4);
    const { waitedMs, ranMs } = background.stats();
    expectToBeOf(
      waitedMs,
      outcomes.map((outcome) => outcome.waitedMs),
    );
    expectToBeOf(
      ranMs,
      outcomes.map((outcome) => outcome.ranMs),
    );
    expect(ranMs.p50).toBeGreaterThan(15);
    expect(ranMs.max).toBeGreaterThanOrEqual(75);
  });
});

describe.each(workerKinds)('`utilization` of $plural', (kind) => {
  it('is the part of their life that was spent in tasks', async () => {
    const background = kind.open(1);
    const utilization = (): number => background.stats().executors[kind.executor].utilization;
    expect(utilization()).toBe(0);

    const addedAt = performance.now();
    const busyMs = 200;
    await background.add(kind.tasks.busyFor, busyMs).settled;
    const busy = utilization();
    expect(busy).toBeGreaterThanOrEqual(busyMs / (performance.now() - addedAt));
    expect(busy).toBeLessThanOrEqual(1);

    await background.add(work, 50).settled;
    const rested = utilization();
    expect(rested).toBeLessThan(busy);
    expect(rested).toBeGreaterThan(0);

    await background.close();
    expect(utilization()).toBeGreaterThan(0);
    expect(utilization()).toBeLessThan(busy);
  });
});
