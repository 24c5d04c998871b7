import { afterAll, describe, expect, it } from '@jest/globals';
import { WeighedServer, type Weight } from './faults/weighed-server.ts';

const TEST_TIMEOUT = 120_000;

describe('a server in which faults are committed over and over', () => {
  /** Caches are filled and code is compiled until then. */
  const WARM_UP_BATCHES = 2;
  const BATCHES = 3;
  /** A leak of a few hundred bytes in every task is more than this. */
  const MOST_GROWTH = 1.15;
  /** Objects that are being released may take some time; leaked ones stay. */
  const WEIGHINGS = 5;

  let server: WeighedServer | undefined;
  afterAll(() => server?.kill());

  it(
    'holds no more memory, handles or listeners after the last than after the first, and ends when it is closed',
    async () => {
      server = await WeighedServer.start();
      const first = await weightAfter(server, WARM_UP_BATCHES);
      let last = await weightAfter(server, BATCHES);
      for (let weighing = 1; weighing < WEIGHINGS && grown(first, last).length > 0; weighing += 1) {
        last = await server.weigh();
      }
      expect(grown(first, last)).toEqual([]);
      expect(last.warnings).toEqual([]);
      expect(last.memory / first.memory).toBeLessThan(MOST_GROWTH);
      for (const state of ['failed', 'timed-out'] as const) {
        expect(first.outcomes[state]).toBeGreaterThan(0);
        expect(last.outcomes[state] / first.outcomes[state]).toBe((WARM_UP_BATCHES + BATCHES) / WARM_UP_BATCHES);
      }
      expect(await server.close()).toBe(0);
    },
    TEST_TIMEOUT,
  );

  async function weightAfter(weighed: WeighedServer, batches: number): Promise<Weight> {
    for (let batch = 0; batch < batches; batch += 1) await weighed.commitBatch();
    return weighed.weigh();
  }

  function grown(before: Weight, after: Weight): string[] {
    return Object.entries(after.held)
      .filter(([name, count]) => !(count <= (before.held[name] ?? 0)))
      .map(([name, count]) => `${name}: ${before.held[name]}, then ${count}`);
  }
});
