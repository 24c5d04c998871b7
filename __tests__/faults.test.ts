import { readdir } from 'node:fs/promises';
import { runInThisContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CONTESTANTS } from './faults/contestants.ts';
import { expectBorne, faultsOf } from './faults/expectations.ts';
import { FaultyServer, type Report } from './faults/run-fault.ts';
import { EXECUTORS, type ExecutorName, type Fault } from './faults/table.ts';
import { canCountWorkers, countWorkers } from './support/live-workers.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';

expectNoProcessFaults();

/** Node, the compiler and the test runner start a few threads when they like. A leak in every row is many more. */
const OTHER_THREADS = 4;

/** In milliseconds: anything that takes longer counts as hanging. */
const LIMIT = 15_000;
const TEST_TIMEOUT = 4 * LIMIT;

const WORKERS = 2;

/** The servers of one executor: all faults are committed in the same one, except those that need a single worker. */
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

// Jest gives tests a copy of `process` that has no handles.
const realProcess = runInThisContext('process') as NodeJS.Process;

/** The ports of threads, and the processes, that keep this process alive. */
async function heldHandles(): Promise<string[]> {
  // What has been closed is released one turn later.
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
    const server = await servers.with(fault.workers ?? WORKERS);
    const report = await server.commit(fault);
    if (canCountWorkers) expect(newWorkers()).toBeLessThanOrEqual(servers.mostWorkers + OTHER_THREADS);
    return report;
  }

  it.each(faultsOf(executor, { inOwnProcess: false }))(
    '$what: only its caller is told, and everything else goes on',
    async (fault) => expectBorne(await commit(fault), fault, executor),
    TEST_TIMEOUT,
  );

  it('has ended leaves no thread, process or handle behind when its instance is closed', async () => {
    await servers.close();
    expect(await heldHandles()).toEqual([]);
    if (canCountWorkers) expect(newWorkers()).toBeLessThanOrEqual(OTHER_THREADS);
  });

  function newWorkers(): number {
    const { threads, children } = countWorkers();
    return threads - threadsBefore + children;
  }
});
