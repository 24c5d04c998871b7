import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import {
  BackgroundTaskError,
  type BackgroundTasks,
  backgroundTasks,
  blocking,
  type CloseReport,
  type CurrentTask,
  currentTask,
  type ExecutorName,
  type Outcome,
  type Task,
  type TaskAdder,
  type TaskHandle,
} from 'express-background-tasks';
import fc from 'fast-check';
import { fixture } from './support/fixtures.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';

expectNoProcessFaults();

/** What a task does, in whichever executor. */
const BEHAVIOURS = [
  'succeed',
  'fail',
  'throwNull',
  'rest',
  'exit',
  'loop',
  'heed',
  'leaveAThrow',
  'returnAFunction',
] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

type Behaviours = Record<Behaviour, (argument: number) => unknown>;

const moduleUrl = fixture('unruly-tasks.mjs');
const threadTasks = blocking<Behaviours>(moduleUrl);
const processTasks = blocking<Behaviours>(moduleUrl, { executor: 'process' });

/** The same on the event loop, except that nothing may exit or block it for ever. */
const loopTasks: Behaviours = {
  succeed: (value) => value,
  fail: () => Promise.reject(new Error('as asked')),
  throwNull: () => {
    throw null;
  },
  rest: (milliseconds) => sleep(milliseconds),
  exit: () => {
    throw new Error('instead of an exit');
  },
  loop: () => new Promise(() => {}),
  heed: () =>
    new Promise((_, reject) => {
      const { signal } = currentTask() as CurrentTask;
      signal.addEventListener('abort', () => reject(signal.reason));
    }),
  leaveAThrow: async () => undefined,
  returnAFunction: () => () => {},
};

const tasksOf = { 'event-loop': loopTasks, thread: threadTasks, process: processTasks };

interface PlannedTask {
  readonly behaviour: Behaviour;
  readonly executor: Exclude<ExecutorName, 'engine'>;
  readonly when: 'always' | 'success' | 'failure';
  readonly attempts: number;
  readonly timeout: number;
  readonly priority: number;
  readonly cancelled: 'never' | 'at once' | 'when started';
  readonly addsAnother: boolean;
}

const plannedTask: fc.Arbitrary<PlannedTask> = fc.record({
  behaviour: fc.constantFrom(...BEHAVIOURS),
  executor: fc.constantFrom('event-loop', 'event-loop', 'thread', 'thread', 'process'),
  when: fc.constantFrom('always', 'success', 'failure'),
  attempts: fc.integer({ min: 1, max: 3 }),
  timeout: fc.integer({ min: 5, max: 60 }),
  priority: fc.integer({ min: -2, max: 2 }),
  cancelled: fc.constantFrom('never', 'never', 'at once', 'when started'),
  addsAnother: fc.boolean(),
});

const ENDS = ['sent', 'failed', 'destroyed', 'client gone', 'added late'] as const;

interface PlannedRequest {
  readonly end: (typeof ENDS)[number];
  readonly tasks: readonly PlannedTask[];
}

const scenario = fc.record({
  order: fc.constantFrom('sequential', 'parallel'),
  maxBacklog: fc.integer({ min: 3, max: 40 }),
  maxThreads: fc.integer({ min: 1, max: 2 }),
  maxProcesses: fc.integer({ min: 1, max: 2 }),
  requests: fc.array(fc.record({ end: fc.constantFrom(...ENDS), tasks: fc.array(plannedTask, { maxLength: 6 }) }), {
    minLength: 1,
    maxLength: 6,
  }),
  detached: fc.array(plannedTask, { maxLength: 4 }),
  closeTimeout: fc.integer({ min: 0, max: 400 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

/** One instance behind a server, and everything that was accepted by it. */
class World {
  readonly background: BackgroundTasks;
  readonly handles: TaskHandle[] = [];
  readonly settled: Outcome[] = [];
  readonly #server: Server;
  readonly #plans: readonly PlannedRequest[];

  constructor({ order, maxBacklog, maxThreads, maxProcesses, requests }: Scenario) {
    this.background = backgroundTasks({
      logger: false,
      order,
      maxBacklog,
      pool: { maxThreads },
      processes: { maxProcesses },
    });
    for (const event of ['added', 'started', 'retrying'] as const) {
      this.background.on(event, () => this.expectConservation());
    }
    this.background.on('settled', (outcome) => {
      this.settled.push(outcome);
      this.expectConservation();
    });
    this.#plans = requests;
    this.#server = createServer((req, res) => {
      this.background(req, res, () => void this.#handle(req, res));
    });
  }

  expectConservation(): void {
    const { added, waiting, running, retrying, settled } = this.background.stats();
    if (added !== waiting + running + retrying + settled) this.#broken.push(JSON.stringify(this.background.stats()));
  }
  readonly #broken: string[] = [];

  async #handle(req: IncomingMessage, res: ServerResponse & { locals?: { backgroundTasks: TaskAdder } }) {
    const { end, tasks } = this.#plans[Number(req.url?.slice(1))] as PlannedRequest;
    const list = res.locals?.backgroundTasks as TaskAdder;
    if (end === 'client gone' || end === 'added late') await new Promise((resolve) => res.once('close', resolve));
    for (const task of tasks) this.add(list, task);
    if (end === 'destroyed') res.destroy();
    else if (end === 'failed') res.writeHead(500).end();
    else if (end === 'sent') res.end('done');
  }

  /** A refusal must have a code; accepted tasks are recorded. */
  add(adder: TaskAdder & { with?: BackgroundTasks['with'] }, plan: PlannedTask): void {
    const { behaviour, executor, when, attempts, timeout, priority } = plan;
    const options = { when, timeout, priority, retry: { attempts, delay: 5 }, name: behaviour };
    const run = tasksOf[executor][behaviour] as Task<[number]>;
    try {
      const handle = (adder.with?.(options) ?? adder).add(run, 10);
      this.handles.push(handle);
      if (plan.cancelled === 'at once') handle.cancel();
      if (plan.cancelled === 'when started') {
        this.background.on('started', ({ id }) => void (id === handle.id && handle.cancel('no longer wanted')));
      }
      if (plan.addsAnother) {
        const another = { ...plan, addsAnother: false };
        this.handles.push(
          adder.add(async () => {
            this.add(adder, another);
          }),
        );
      }
    } catch (error) {
      if (!(error instanceof BackgroundTaskError) || error.status !== 503) throw error;
    }
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  /** Resolves when the connection has ended. */
  request(index: number): Promise<void> {
    const { end } = this.#plans[index] as PlannedRequest;
    return new Promise((resolve) => {
      const socket = connect((this.#server.address() as AddressInfo).port, '127.0.0.1', () => {
        socket.write(`GET /${index} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, () => {
          if (end === 'client gone' || end === 'added late') socket.destroy();
        });
      });
      socket.on('error', () => {});
      socket.resume().once('close', () => resolve());
    });
  }

  async end(timeout: number): Promise<CloseReport> {
    const report = await this.background.close({ timeout });
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    return report;
  }

  expectNothingLost(report: CloseReport): void {
    expect(this.#broken).toEqual([]);
    const stats = this.background.stats();
    expect(stats).toMatchObject({ waiting: 0, running: 0, retrying: 0, added: this.settled.length });
    expect(stats.backlog.size).toBe(0);
    expect(new Set(this.settled.map(({ id }) => id)).size).toBe(this.settled.length);
    const settledIds = new Set(this.settled.map(({ id }) => id));
    expect(this.handles.filter(({ id }) => !settledIds.has(id))).toEqual([]);
    expect(report.abandoned.map(({ id }) => id).sort()).toEqual(
      this.settled
        .filter(({ state }) => state === 'abandoned')
        .map(({ id }) => id)
        .sort(),
    );
  }
}

const RUNS = 25;
/** In milliseconds: a slow machine stops after this time, between two runs, but not before it has had the fewest. */
const TIME = 40_000;
const FEWEST_RUNS = 5;
/** A run that takes longer counts as hanging. */
const LIMIT = 15_000;

async function live(world: World, { requests, detached, closeTimeout }: Scenario): Promise<CloseReport> {
  await world.listen();
  for (const task of detached) world.add(world.background, task);
  await Promise.all(requests.map((_, index) => world.request(index)));
  const report = await world.end(closeTimeout);
  const outcomes = await Promise.all(world.handles.map(({ settled }) => settled));
  expect(outcomes.map(({ id }) => id)).toEqual(world.handles.map(({ id }) => id));
  return report;
}

/** Resolves to what `lives` resolves to; if that takes too long, it fails and names what has not settled. */
async function withinLimit<T>(world: World, lives: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const settled = new Set(world.settled.map(({ id }) => id));
      const unsettled = world.handles.filter(({ id }) => !settled.has(id));
      reject(new Error(`Expected the world to end, got stuck with ${JSON.stringify(unsettled)}`));
    }, LIMIT);
  });
  try {
    return await Promise.race([lives, late]);
  } finally {
    clearTimeout(timer);
  }
}

describe('whatever is added, fails, is cancelled, times out, hangs up and is closed', () => {
  it(
    'every accepted task settles exactly once, and the counts always add up',
    async () => {
      const end = performance.now() + TIME;
      let ended = 0;
      await fc.assert(
        fc.asyncProperty(scenario, async (plan) => {
          if (performance.now() > end && ended >= FEWEST_RUNS) return;
          const world = new World(plan);
          world.expectNothingLost(await withinLimit(world, live(world, plan)));
          ended += 1;
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
      expect(ended).toBeGreaterThanOrEqual(FEWEST_RUNS);
    },
    TIME + FEWEST_RUNS * LIMIT,
  );
});
