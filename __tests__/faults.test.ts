import { readdir } from 'node:fs/promises';
import { runInThisContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CONTESTANTS } from './faults/contestants.ts';
import { FaultyServer, type Report, UNHARMED } from './faults/run-fault.ts';
import { runInOwnProcess } from './faults/run-in-own-process.ts';
import { EXECUTORS, type ExecutorName, FAULTS, type Fault } from './faults/table.ts';
import { WeighedServer, type Weight } from './faults/weighed-server.ts';
import { canCountWorkers, countWorkers } from './support/live-workers.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';

expectNoProcessFaults();

/** Node, the compiler and the test runner start a few threads when they like. A leak in every row is many more. */
const OTHER_THREADS = 4;

/** What takes longer hangs, in milliseconds. */
const LIMIT = 15_000;
const TEST_TIMEOUT = 4 * LIMIT;

const WORKERS = 2;

/** The servers of one executor: all faults are committed in the same one, but those that need one worker only. */
class Servers {
  readonly #executor: ExecutorName;
  readonly #servers = new Map<number, Promise<FaultyServer>>();

  constructor(executor: ExecutorName) {
    this.#executor = executor;
  }

  /** How many threads or processes they may have altogether. */
  get mostWorkers(): number {
    return [...this.#servers.keys()].reduce((sum, workers) => sum + workers, 0);
  }

  with(workers: number): Promise<FaultyServer> {
    const contestant = () => CONTESTANTS[this.#executor]({ workers, module: 'tasks.cjs' });
    const server = this.#servers.get(workers) ?? FaultyServer.start(contestant(), LIMIT);
    this.#servers.set(workers, server);
    return server;
  }

  async close(): Promise<void> {
    for (const server of this.#servers.values()) await (await server).close();
    this.#servers.clear();
  }
}

// Jest hands tests a copy of `process` that knows of no handle.
const realProcess = runInThisContext('process') as NodeJS.Process;

/** The ports of threads, and the processes, that keep this process alive. */
async function heldHandles(): Promise<string[]> {
  // What has been closed is let go of a turn later.
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  return realProcess.getActiveResourcesInfo().filter((name) => name === 'MessagePort' || name === 'ProcessWrap');
}

describe.each(EXECUTORS)('on the executor %s, a task that', (executor) => {
  const servers = new Servers(executor);
  let threadsBefore = 0;
  beforeAll(async () => {
    // Node starts its threads for files when the first is touched: they must not be taken for ours.
    await readdir('.');
    if (canCountWorkers) threadsBefore = countWorkers().threads;
  });
  afterAll(() => servers.close());

  async function commit(fault: Fault): Promise<Report> {
    if (fault.needsOwnProcess?.includes(executor)) return runInOwnProcess(executor, fault, LIMIT);
    const server = await servers.with(fault.workers ?? WORKERS);
    const report = await server.commit(fault);
    if (canCountWorkers) expect(newWorkers()).toBeLessThanOrEqual(servers.mostWorkers + OTHER_THREADS);
    return report;
  }

  const faults = FAULTS.filter(({ expected }) => expected[executor] !== undefined);
  it.each(faults.filter(isBearable))(
    '$what: it alone is told, and all else goes on',
    async (fault) => {
      const report = await commit(fault);
      expectText(report.caller, fault.expected[executor]);
      expect(report).toMatchObject({ others: UNHARMED, servesAgain: true, pings: { unanswered: 0 } });
      expect(report.pings.answered).toBeGreaterThan(0);
      if (fault.mostStarted !== undefined) expect(report.settledInWindow).toBeLessThanOrEqual(fault.mostStarted);
    },
    TEST_TIMEOUT,
  );

  const deadly = faults.filter((fault) => !isBearable(fault));
  if (deadly.length > 0) {
    it.each(deadly)(
      '$what: the whole server dies, and the documents say so',
      async (fault) => expectText((await commit(fault)).caller, fault.expected[executor]),
      TEST_TIMEOUT,
    );
  }

  it('has ended leaves no thread, process or handle behind when its instance is closed', async () => {
    await servers.close();
    expect(await heldHandles()).toEqual([]);
    if (canCountWorkers) expect(newWorkers()).toBeLessThanOrEqual(OTHER_THREADS);
  });

  function newWorkers(): number {
    const { threads, children } = countWorkers();
    return threads - threadsBefore + children;
  }

  function isBearable({ expected }: Fault): boolean {
    return !String(expected[executor]).startsWith('the server dies');
  }
});

describe('a server in which faults are committed over and over', () => {
  /** Caches are filled and code is compiled until then. */
  const WARM_UP_BATCHES = 2;
  const BATCHES = 3;
  /** A leak of a few hundred bytes in every task is more than this. */
  const MOST_GROWTH = 1.15;
  /** What is on its way out may take its time; what leaks never goes. */
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
    2 * TEST_TIMEOUT,
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

function expectText(text: string, expected: string | RegExp | undefined): void {
  if (expected instanceof RegExp) expect(text).toMatch(expected);
  else expect(text).toBe(expected);
}
