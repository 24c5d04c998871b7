/** Engines that do something wrong, each in its own way, and one that is right in a way of its own. */
import { deserialize, serialize } from 'node:v8';
import {
  type EngineCase,
  type EngineRetry,
  engineConformance,
  type MemoryEngine,
  memoryEngine,
  type StagedTask,
  type TaskEngine,
  type WorkContext,
} from 'express-background-tasks/testing/engine';

/** What an engine does differently from the memory engine that it wraps. */
type Changed = Partial<Pick<TaskEngine, 'stage' | 'release' | 'discard' | 'work'>>;

type Change = (engine: MemoryEngine) => Changed;

class ChangedEngine implements TaskEngine {
  readonly name = 'changed';
  readonly features: TaskEngine['features'];
  readonly start: TaskEngine['start'];
  readonly stage: TaskEngine['stage'];
  readonly release: TaskEngine['release'];
  readonly discard: TaskEngine['discard'];
  readonly work: TaskEngine['work'];
  readonly find: TaskEngine['find'];
  readonly stats: TaskEngine['stats'];
  readonly close: TaskEngine['close'];

  constructor(engine: MemoryEngine, change: Change) {
    const changed = change(engine);
    this.features = engine.features;
    this.start = (host) => engine.start(host);
    this.stage = changed.stage ?? ((tasks, options) => engine.stage(tasks, options));
    this.release = changed.release ?? ((ids) => engine.release(ids));
    this.discard = changed.discard ?? ((ids) => engine.discard(ids));
    this.work = changed.work ?? ((run, options) => engine.work(run, options));
    this.find = (id) => engine.find(id);
    this.stats = () => engine.stats();
    this.close = () => engine.close();
  }
}

/** The cases of these names, for such an engine. */
export function casesOf(change: Change, ...names: string[]): readonly EngineCase[] {
  const make = async () => {
    const engine = memoryEngine();
    return {
      engine: new ChangedEngine(engine, change),
      second: async () => new ChangedEngine(engine.connect(), change),
      dispose: () => {},
    };
  };
  const cases = engineConformance(make, { patience: 1_000 });
  return cases.filter(({ name }) => names.includes(name));
}

/** Stages each task as changed by `change`. */
const staging =
  (change: (task: StagedTask) => StagedTask) =>
  (engine: MemoryEngine): Changed => ({ stage: (tasks, options) => engine.stage(tasks.map(change), options) });

const retrying = (change: (retry: EngineRetry) => Partial<EngineRetry>) =>
  staging(({ retry, ...task }) => ({ ...task, retry: { ...retry, ...change(retry) } }));

export interface WrongEngine {
  readonly fault: string;
  readonly change: Change;
  /** The case that finds the fault. */
  readonly found: string;
  readonly says: RegExp;
}

export const wrongEngines: readonly WrongEngine[] = [
  {
    fault: 'whose holds end after a quarter of their time',
    change: staging(({ holdMs, ...task }) => ({ ...task, holdMs: holdMs / 4 })),
    found: 'a task does not start before most of its hold is over',
    says: /started \d+\S* ms after a hold of 900 ms began/,
  },
  {
    fault: 'whose holds are timers of Node, which end soon where they are too long',
    change: staging(({ holdMs, ...task }) => ({ ...task, holdMs: holdMs < 2 ** 31 ? holdMs : 20 })),
    found: 'a hold may be longer than the longest timer of Node',
    says: /1 !== 0/,
  },
  {
    fault: 'that releases 25 tasks at most, and says nothing of the rest',
    change: (engine) => ({
      async release(ids) {
        const answers = await engine.release(ids.slice(0, 25));
        return ids.map((_, index) => answers[index] ?? 'released');
      },
    }),
    found: 'hundreds of tasks are released in one call, and each runs once',
    says: /held: 475/,
  },
  {
    fault: 'that refuses to release more than 25 tasks at once',
    change: (engine) => ({
      async release(ids) {
        if (ids.length > 25) throw new Error('too many');
        return engine.release(ids);
      },
    }),
    found: 'hundreds of tasks are released in one call, and each runs once',
    says: /too many/,
  },
  {
    fault: 'that discards ten tasks at most, and says nothing of the rest',
    change: (engine) => ({
      async discard(ids) {
        const answers = await engine.discard(ids.slice(0, 10));
        return ids.map((_, index) => answers[index] ?? (index === ids.length - 1 ? 'too-late' : 'discarded'));
      },
    }),
    found: 'hundreds of tasks are discarded in one call, and never run',
    says: /held: 489/,
  },
  {
    fault: 'that tries again after a tenth of the delay',
    change: retrying(({ delay }) => ({ delay: delay / 10 })),
    found: 'a retry does not start before most of its wait is over, and the waits grow',
    says: /attempt 1 was told 25 ms of a wait of 250 ms/,
  },
  {
    fault: 'that tries again at once where the delay is short',
    change: retrying(({ delay }) => ({ delay: delay < 50_000 ? 0 : delay })),
    found: 'a retry does not start before most of its wait is over, and the waits grow',
    says: /attempt 1 was told 0 ms of a wait of 250 ms/,
  },
  {
    fault: 'that tells how long it waits, and tries again at once',
    change: (engine) => {
      const { stage } = retrying(() => ({ delay: 0 }))(engine);
      return {
        ...(stage && { stage }),
        work: (run, options) =>
          engine.work((envelope, context) => run(envelope, { ...context, retryInMs: told(context) }), options),
      };
    },
    found: 'a retry does not start before most of its wait is over, and the waits grow',
    says: /attempt 2 came after \d+\S* ms of a wait of 250 ms/,
  },
  {
    fault: 'whose waits do not grow',
    change: retrying(() => ({ factor: 1 })),
    found: 'a retry does not start before most of its wait is over, and the waits grow',
    says: /attempt 2 was told 250 ms of a wait of 500 ms/,
  },
  {
    fault: 'that does not know maxDelay',
    change: retrying(() => ({ maxDelay: 1_000_000 })),
    found: 'no wait for a retry is longer than maxDelay',
    says: /attempt 2 was told 200000 ms of a wait of 300 ms/,
  },
  {
    fault: 'whose second worker on a connection gets nothing',
    change: (engine) => {
      let isAtWork = false;
      return {
        async work(run, options) {
          if (isAtWork) return { stop: async () => {} };
          isAtWork = true;
          return engine.work(run, options);
        },
      };
    },
    found: 'two workers on one connection both get tasks, and each works without the other',
    says: /in vain: 2 starts/,
  },
  {
    fault: 'that keeps what it can of a call, and says nothing of the rest',
    change: (engine) => ({
      async stage(tasks, options) {
        await Promise.allSettled(tasks.map((task) => engine.stage([task], options)));
      },
    }),
    found: 'nothing of a call that failed is left when its tasks are discarded',
    says: /rejection/,
  },
];

function told({ attempt, retryInMs }: WorkContext): number | undefined {
  return retryInMs === undefined ? undefined : 250 * attempt;
}

/** Right: it keeps arguments as V8 writes them, which knows BigInts and circles. */
export const keepsAnyValue: Change = (engine) => ({
  stage: (tasks, options) => engine.stage(tasks.map(kept), options),
  work: (run, options) => engine.work((envelope, context) => run(asGiven(envelope), context), options),
});

function kept({ envelope, ...task }: StagedTask): StagedTask {
  return { ...task, envelope: { ...envelope, args: [serialize(envelope.args).toString('base64')] } };
}

function asGiven(envelope: StagedTask['envelope']): StagedTask['envelope'] {
  return { ...envelope, args: deserialize(Buffer.from(envelope.args[0] as string, 'base64')) };
}
