/** What is particular to BullMQ: its options, what it reports about Redis, and what it does without one. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { BackgroundTaskError } from 'express-background-tasks';
import { bullmq } from 'express-background-tasks/bullmq';
import type {
  StagedTask,
  TaskEngine,
  TaskEnvelope,
  WorkContext,
  WorkResult,
} from 'express-background-tasks/testing/engine';
import { Redis } from 'ioredis';
import { atEnd } from '../support/cleanup.ts';
import { makeGate } from '../support/gates.ts';
import { expectNoProcessFaults } from '../support/process-faults.ts';
import { untilHolds } from '../support/time.ts';
import { type RedisServer, redisIsInstalled, startRedis } from './support/redis-server.ts';
import { openRelay } from './support/relay.ts';

jest.setTimeout(60_000);
expectNoProcessFaults();

type BullMQOptions = Parameters<typeof bullmq>[0];

const HELD = 600_000;
const TLS_HANDSHAKE = 22;
/** Between two checks whether Redis is up. */
const LONGEST_SILENCE = 5_000;
/** Between two questions that Redis refuses. */
const ASK_AGAIN_AFTER = 1_000;
/** A lock that is taken away is noticed soon; others hold also where the machine is busy. */
const WATCHED = { lockDuration: 3_000, stalledInterval: 100 };
const COMPLETED: WorkResult = { kind: 'completed', value: undefined };

function taskOf(wish: Partial<StagedTask> & { task?: string } = {}): StagedTask {
  const { task = 'mail.send', ...rest } = wish;
  const envelope: TaskEnvelope = { v: 1, id: randomUUID(), task, args: [] };
  return { envelope, holdMs: 0, priority: 0, retry: retryOf(1, 0), ...rest };
}

function retryOf(attempts: number, delay: number): StagedTask['retry'] {
  return { attempts, delay, factor: 3, maxDelay: 60_000, jitter: 0 };
}

interface Host {
  readonly warnings: string[];
  readonly errors: Error[];
  warn(message: string): void;
  error(error: Error): void;
  /** Resolves when an error has been reported. */
  readonly failed: Promise<void>;
}

function makeHost(): Host {
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

/** A worker whose tasks end when they may. */
async function workAtTheGate(engine: TaskEngine, concurrency: number) {
  const [started, mayEnd] = [makeGate(), makeGate()];
  const working = await engine.work(
    async () => {
      started.open();
      await mayEnd.opened;
      return COMPLETED;
    },
    { concurrency },
  );
  return { working, started, mayEnd };
}

async function startEngine(options: BullMQOptions, host = makeHost()): Promise<TaskEngine> {
  const engine = makeEngine(options);
  await engine.start(host);
  return engine;
}

function makeEngine(options: BullMQOptions): TaskEngine {
  const engine = bullmq({ queue: randomUUID(), ...options });
  atEnd(() => engine.close());
  return engine;
}

type Start = readonly [envelope: TaskEnvelope, context: WorkContext];

/** Takes tasks, until `count` of them have been started. */
async function starts(
  engine: TaskEngine,
  count: number,
  run: (envelope: TaskEnvelope, context: WorkContext) => WorkResult | Promise<WorkResult> = () => COMPLETED,
): Promise<readonly Start[]> {
  const seen: Start[] = [];
  const done = makeGate();
  const working = await engine.work(
    async (envelope, context) => {
      seen.push([envelope, context]);
      if (seen.length === count) done.open();
      return run(envelope, context);
    },
    { concurrency: 1 },
  );
  await done.opened;
  await working.stop();
  return seen;
}

/** Leads to Redis; the first time that a task's hash was asked for, nothing goes on until `meanwhile` has ended. */
async function leadTo(redisPort: number, meanwhile: () => Promise<void>): Promise<string> {
  let wait = meanwhile;
  const server = createServer(async (socket) => {
    const redis = connect(redisPort, '127.0.0.1').on('error', () => {});
    atEnd(() => redis.destroy());
    redis.pipe(socket.on('error', () => {}));
    for await (const chunk of socket) {
      const text = (chunk as Buffer).toString('latin1');
      const asked = /hgetall\r\n\$\d+\r\n.*\r\n/i.exec(text);
      const end = asked === null ? text.length : asked.index + asked[0].length;
      redis.write(text.slice(0, end), 'latin1');
      if (asked === null) continue;
      await wait();
      wait = async () => {};
      redis.write(text.slice(end), 'latin1');
    }
  }).listen(0, '127.0.0.1');
  atEnd(() => server.close());
  await once(server, 'listening');
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Of which one can become the replica of the other without delay. */
async function startTwo(): Promise<readonly [RedisServer, RedisServer]> {
  const args = ['--repl-diskless-sync-delay', '0'];
  return [await startRedis({ args }), await startRedis({ args })];
}

interface Sentinel {
  readonly port: number;
  isThere: boolean;
  /** How many questions it has answered by hanging up. */
  hangUps: number;
}

/** Says that the master is on this port, as long as it is there. */
async function startSentinel(masterPort: number): Promise<Sentinel> {
  const port = String(masterPort);
  const master = `*2\r\n$9\r\n127.0.0.1\r\n$${port.length}\r\n${port}\r\n`;
  const server = createServer((socket) => {
    socket
      .on('error', () => {})
      .on('data', (data) => {
        if (!sentinel.isThere) {
          sentinel.hangUps += 1;
          socket.destroy();
          return;
        }
        // Several commands may come at once; each begins with how many words it has.
        for (const command of String(data).split(/^(?=\*\d)/m)) {
          socket.write(command.includes('get-master-addr-by-name') ? master : '*0\r\n');
        }
      });
  }).listen(0, '127.0.0.1');
  atEnd(() => server.close());
  await once(server, 'listening');
  const sentinel: Sentinel = { port: (server.address() as AddressInfo).port, isThere: true, hangUps: 0 };
  return sentinel;
}

function refusalOf(options: unknown): string {
  try {
    bullmq(options as BullMQOptions);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(BackgroundTaskError);
    expect((thrown as BackgroundTaskError).code).toBe('ERR_BACKGROUND_OPTION');
    return (thrown as BackgroundTaskError).message;
  }
  throw new Error('expected a refusal');
}

const connection = 'redis://127.0.0.1:1';

describe('options', () => {
  it('names what was meant by an unknown one', () => {
    expect(refusalOf({ connection, lockDuratoin: 1_000 })).toMatch(/Did you mean `lockDuration`\?/);
    expect(refusalOf({ connection, keepFailed: { ages: 1 } })).toMatch(/Did you mean `keepFailed.age`\?/);
  });

  it('says what a number may be, whichever limit it is beyond', () => {
    for (const lockDuration of [99, 3e9]) {
      expect(refusalOf({ connection, lockDuration })).toMatch(
        `a number of milliseconds from 100 to 2147483647, got ${lockDuration}`,
      );
    }
  });

  it('says of a connection that is not set where to look', () => {
    const { NOT_SET_ANYWHERE } = process.env;
    expect(() => bullmq({ connection: NOT_SET_ANYWHERE })).toThrow(
      /got undefined: if it comes from an environment variable, set that\.$/,
    );
  });

  it.each([
    ['connection', [undefined, '', 'localhost:6379', 'http://localhost', 6379, null, true, [], new URL(connection)]],
    ['queue', ['', 'a:b', 1, null]],
    ['prefix', ['', 1, null]],
    ['lockDuration', [0, 99, Number.NaN, '1000', 2 ** 31, null]],
    ['stalledInterval', [0, -1, Number.POSITIVE_INFINITY, '1000', null]],
    ['maxStalledCount', [-1, 1.5, '1', null]],
    ['keepCompleted', [1, true, null, []]],
    ['keepFailed', [1, true, null, []]],
  ])('refuses a wrong %s', (name, values) => {
    for (const value of values) {
      expect(refusalOf({ connection, [name]: value })).toMatch(
        new RegExp(`Expected \`${name}\` of bullmq\\(\\) to be `),
      );
    }
  });

  it.each([
    'valkey://user:hunter2@localhost',
    'redis:/user:hunter2@localhost',
    'user:hunter2@localhost:6379',
    'redis://user:hunter2/or#hunter2@localhost',
    'redis://user:100%hunter2@localhost',
    'redis://user:hunter2@localhost:99999',
    `http://user:hunter2${'x'.repeat(200)}@localhost`,
    new URL('redis://user:hunter2@localhost'),
    [{ password: 'hunter2', sentinelPassword: 'hunter2' }],
  ])('shows no password of a connection that it refuses: %s', (value) => {
    for (const options of [{ connection: value }, { connection: [value] }, String(value)])
      expect(refusalOf(options)).not.toMatch(/hunter2/);
  });

  it('takes a URL whose password has special characters, if they are encoded', () => {
    const password = encodeURIComponent('a/b#c%d@e f');
    expect(bullmq({ connection: `redis://user:${password}@localhost/2` }).name).toBe('bullmq');
  });

  it('refuses a call without options', () => {
    expect(refusalOf(undefined)).toMatch(/Expected the options of bullmq\(\) to be an object/);
  });

  it.each([
    ['a URL', 'postgres://localhost/tasks'],
    ['options', { connectionString: 'postgresql://localhost/tasks' }],
    ['a pool of pg', { query: () => {}, connect: () => {} }],
    ['a backend of BullMQ', function createPostgresBackend() {}],
  ])('refuses Postgres, given as %s, and says what is for it', (_what, value) => {
    expect(refusalOf({ connection: value })).toMatch(/may run a task twice.*express-background-tasks\/pg-boss/);
  });

  it('refuses a client that BullMQ or the engine cannot work with', () => {
    expect(refusalOf({ connection: { keyPrefix: 'shop:' } })).toMatch(/no `keyPrefix`.*use `prefix` of bullmq\(\)/);
    const prefixed = new Redis({ lazyConnect: true, keyPrefix: 'shop:' });
    expect(refusalOf({ connection: prefixed })).toMatch(/no `keyPrefix`/);
    expect(refusalOf({ connection: `${connection}?keyPrefix=shop:` })).toMatch(/no `keyPrefix`/);
    expect(refusalOf({ connection: { url: `${connection}?keyPrefix=shop:` } })).toMatch(/no `keyPrefix`/);
    expect(refusalOf({ connection: { isCluster: true, duplicate() {} } })).toMatch(/got a Redis Cluster/);
    expect(refusalOf({ connection: { sendCommand() {}, duplicate() {} } })).toMatch(/client of ioredis/);
  });
});

const describeWithRedis = redisIsInstalled ? describe : describe.skip;

describeWithRedis('bullmq() with redis-server', () => {
  let redis: RedisServer;
  let direct: Redis;
  beforeAll(async () => {
    redis = await startRedis({ until: 'file' });
  });
  afterEach(() => {
    // A client that is disconnected twice keeps the process alive for two seconds.
    if (direct?.status === 'ready') direct.disconnect();
  });

  it('does not warn of a Redis that keeps what it is given', async () => {
    const host = makeHost();
    const engine = await startEngine({ connection: redis.url }, host);
    await engine.stage([taskOf()], {});
    await starts(engine, 1);
    await engine.close();
    expect([...host.warnings, ...host.errors]).toEqual([]);
  });

  it('warns of a Redis that writes nothing to disk, and of one that drops what it holds', async () => {
    const careless = await startRedis({ appendonly: false, args: ['--maxmemory-policy', 'allkeys-lru'] });
    const host = makeHost();
    await startEngine({ connection: careless.url }, host);
    expect(host.warnings).toEqual([
      expect.stringMatching(/no append-only file.*`appendonly yes`/),
      expect.stringMatching(/may drop tasks.*allkeys-lru.*`maxmemory-policy noeviction`/),
    ]);
  });

  it('works with a Redis that answers no questions about its settings, as a user of it with a password', async () => {
    const user = ['--user', 'shop', 'on', '>secret', '~tasks:*', '+@all', '-config', '--user', 'default', 'off'];
    const closed = await startRedis({ args: user });
    const host = makeHost();
    const place = { host: '127.0.0.1', port: closed.port, username: 'shop', password: 'secret' };
    const engine = await startEngine({ connection: place, prefix: 'tasks' }, host);
    const task = taskOf();
    await engine.stage([task], {});
    const [[envelope] = []] = await starts(engine, 1);
    expect(envelope).toEqual(task.envelope);
    expect(host.warnings).toEqual([]);

    const stranger = makeEngine({ connection: { ...place, password: 'wrong' }, prefix: 'tasks' });
    await expect(stranger.start(makeHost())).rejects.toThrow(/WRONGPASS|NOAUTH/);
  });

  it('keeps its connection as a user who may not send PING: a refusal is an answer', async () => {
    const user = ['--user', 'default', 'on', 'nopass', '~*', '&*', '+@all', '-ping'];
    const server = await startRedis({ args: user });
    const link = jest.spyOn(globalThis, 'setInterval');
    const engine = await startEngine({ connection: server.url });
    const looks = link.mock.calls.filter(([, ms]) => ms === LONGEST_SILENCE).map(([look]) => look as () => void);
    link.mockRestore();
    expect(looks).not.toEqual([]);
    direct = new Redis(server.url);
    const connections = async () => ((await direct.client('LIST')) as string).match(/^id=\d+/gm);
    const before = await connections();
    for (let count = 0; count < 3; count += 1) {
      for (const look of looks) look();
      await engine.stats();
    }
    expect(await connections()).toEqual(before);
  });

  it.each([
    ['by its URL', (port: number) => `rediss://127.0.0.1:${port}`],
    ['by its URL in capitals', (port: number) => `REDISS://127.0.0.1:${port}`],
    ['by its options', (port: number) => ({ port, tls: { rejectUnauthorized: false } })],
    ['by the client', (port: number) => new Redis({ port, lazyConnect: true, tls: {} })],
  ])('speaks TLS where it is told to %s', async (_how, connectionFor) => {
    const firstByte = makeGate<number | undefined>();
    const server = createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', (data: Buffer) => {
          firstByte.open(data[0]);
          socket.destroy();
        });
    }).listen(0, '127.0.0.1');
    atEnd(() => server.close());
    await once(server, 'listening');
    const engine = makeEngine({ connection: connectionFor((server.address() as AddressInfo).port) });
    await expect(engine.start(makeHost())).rejects.toThrow(/Redis can't be reached/);
    expect(await firstByte.opened).toBe(TLS_HANDSHAKE);
  });

  it('gives up a start that is under way when it is closed', async () => {
    const asked = makeGate();
    const silent = createServer((socket) => socket.on('error', () => {}).once('data', asked.open)).listen(
      0,
      '127.0.0.1',
    );
    atEnd(() => silent.close());
    await once(silent, 'listening');
    const engine = makeEngine({ connection: `redis://127.0.0.1:${(silent.address() as AddressInfo).port}` });
    const starting = engine.start(makeHost());
    await asked.opened;
    await engine.close();
    await expect(starting).rejects.toThrow(/Connection is closed/);
  });

  it('leaves the client that it was given open, and as it was', async () => {
    direct = new Redis(redis.url);
    const engine = await startEngine({ connection: direct });
    await engine.stage([taskOf()], {});
    await starts(engine, 1);
    await engine.close();
    expect(direct.options.maxRetriesPerRequest).toBe(20);
    expect(direct.listenerCount('error')).toBe(0);
    await expect(direct.ping()).resolves.toBe('PONG');
  });

  const unsuitable = {
    scripts: { echo: { numberOfKeys: 0, lua: 'return ARGV[1]' } },
    commandTimeout: 200,
    socketTimeout: 200,
    blockingTimeout: 200,
    stringNumbers: true,
  };

  it.each([
    ['a client', (port: number) => new Redis({ port, lazyConnect: true, ...unsuitable })],
    ['options', (port: number) => ({ port, ...unsuitable })],
    ['a URL', (port: number) => `redis://127.0.0.1:${port}/0?maxRetriesPerRequest=3&stringNumbers=true&lazyConnect=`],
    ['a URL among options', (port: number) => ({ url: `redis://127.0.0.1:${port}?stringNumbers=true` })],
  ])('does not take over an option that it could not work with: %s', async (_what, connectionFor) => {
    const host = makeHost();
    const engine = await startEngine({ connection: connectionFor(redis.port) }, host);
    const ran = makeGate();
    const working = await engine.work(
      async () => {
        ran.open();
        return COMPLETED;
      },
      { concurrency: 1 },
    );
    // For longer than an answer may take by those options. Redis counts how many seconds have begun since it was asked.
    direct = new Redis(redis.port);
    const waits = async () => / idle=[2-9].* cmd=bzpopmin /.test((await direct.client('LIST')) as string);
    await untilHolds(async () => host.errors.length > 0 || (await waits()));
    await engine.stage([taskOf()], {});
    await ran.opened;
    await working.stop();
    expect(await engine.stats()).toEqual({ held: 0, waiting: 0, running: 0, failed: 0 });
    expect(host.errors).toEqual([]);
  });

  it('closes every connection that it has made', async () => {
    direct = new Redis(redis.url);
    const others = async (): Promise<number> => ((await direct.client('LIST')) as string).trim().split('\n').length - 1;
    const before = await others();
    const engine = await startEngine({ connection: redis.url });
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    expect(await others()).toBeGreaterThan(before);
    await working.stop();
    await engine.close();
    while ((await others()) > before);
  });

  it('waits longer after each failed attempt, and keeps what the last one failed with', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ retry: retryOf(3, 100) });
    await engine.stage([task], {});
    const times: number[] = [];
    const seen = await starts(engine, 3, (_envelope, { attempt }) => {
      times.push(performance.now());
      const error = Object.assign(new TypeError(`attempt ${attempt}`), { code: 'EMAIL' });
      return { kind: 'failed', retry: true, error };
    });
    expect(seen.map(([, { attempt }]) => attempt)).toEqual([1, 2, 3]);
    const [first = 0, second = 0, third = 0] = times;
    expect(third - second).toBeGreaterThan(second - first);
    const found = await engine.find(task.envelope.id);
    expect(found).toMatchObject({ state: 'failed', attempts: 3 });
    expect(found?.error).toMatchObject({ name: 'TypeError', message: 'attempt 3', code: 'EMAIL' });
    expect(found?.error?.stack).toMatch(/^TypeError: attempt 3\n {4}at [\s\S]*bullmq\.test\.ts[^{]*$/);
  });

  it('finds the error of a task that failed without a message, as one of Node for a refused connection does', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ retry: retryOf(2, 600_000) });
    const error = Object.assign(new AggregateError([new Error('refused')], ''), { code: 'ECONNREFUSED' });
    await engine.stage([task], {});
    await starts(engine, 1, () => ({ kind: 'failed', error, retry: true }));
    expect(await engine.find(task.envelope.id)).toMatchObject({
      state: 'retrying',
      error: { name: 'AggregateError', message: '', code: 'ECONNREFUSED', stack: error.stack },
    });
  });

  it('does not retry what another attempt cannot fix', async () => {
    const engine = await startEngine({ connection: redis.url });
    const [fatal, next] = [taskOf({ retry: retryOf(5, 0) }), taskOf()];
    await engine.stage([fatal, next], {});
    const seen = await starts(engine, 2, ({ id }) =>
      id === fatal.envelope.id ? { kind: 'failed', retry: false, error: new RangeError('never') } : COMPLETED,
    );
    expect(seen.map(([{ id }]) => id)).toEqual([fatal.envelope.id, next.envelope.id]);
    const found = await engine.find(fatal.envelope.id);
    expect(found).toMatchObject({ state: 'failed', attempts: 1, error: { name: 'RangeError', message: 'never' } });
  });

  it.each(['DelayedError', 'WaitingError', 'UnrecoverableError'])(
    'treats an error of a task as such, whatever %s means to BullMQ',
    async (name) => {
      const engine = await startEngine({ connection: redis.url });
      const task = taskOf({ retry: retryOf(2, 0) });
      await engine.stage([task], {});
      const error = Object.assign(new Error('bullmq:rateLimitExceeded'), { name });
      await starts(engine, 2, () => ({ kind: 'failed', retry: true, error }));
      expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'failed', attempts: 2, error: { name } });
    },
  );

  it('counts no attempt for a task that was postponed', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf();
    await engine.stage([task], {});
    let postponed = 0;
    const seen = await starts(engine, 3, () => {
      postponed += 1;
      return postponed < 3 ? { kind: 'postponed', delayMs: 10 } : COMPLETED;
    });
    expect(seen.map(([, { attempt }]) => attempt)).toEqual([1, 1, 1]);
    expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'completed', attempts: 1 });
  });

  it('neither shortens the wait between two attempts at a late release, nor discards a task that was tried', async () => {
    const engine = await startEngine({ connection: redis.url });
    const task = taskOf({ retry: retryOf(2, HELD) });
    await engine.stage([task], {});
    await starts(engine, 1, () => ({ kind: 'failed', retry: true, error: new Error('once') }));
    expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'retrying', attempts: 1 });
    expect(await engine.release([task.envelope.id])).toEqual(['already']);
    expect(await engine.discard([task.envelope.id])).toEqual(['too-late']);
    expect(await engine.find(task.envelope.id)).toMatchObject({ state: 'retrying', attempts: 1 });
  });

  it('holds a task as long as it is told to also where the clock here was set back since Redis was asked for its own', async () => {
    direct = new Redis(redis.url);
    const queue = randomUUID();
    const engine = await startEngine({ connection: redis.url, queue });
    const setBack = Date.now() - 3_600_000;
    const clock = jest.spyOn(Date, 'now').mockReturnValue(setBack);
    atEnd(() => clock.mockRestore());
    const task = taskOf({ holdMs: HELD });
    await engine.stage([task], {});
    clock.mockRestore();
    const [, score] = await direct.zrange(`bull:${queue}:delayed`, 0, -1, 'WITHSCORES');
    // BullMQ counts the jobs of one millisecond in the last twelve bits.
    expect(Number(score) / 4_096 - Date.now()).toBeGreaterThan(HELD / 2);
  });

  it('adds several tasks also when Redis has forgotten its scripts', async () => {
    direct = new Redis(redis.url);
    const engine = await startEngine({ connection: redis.url });
    await engine.stage([taskOf({ holdMs: HELD }), taskOf({ holdMs: HELD })], {});
    await direct.script('FLUSH');
    await engine.stage([taskOf({ holdMs: HELD }), taskOf({ holdMs: HELD })], {});
    expect(await engine.stats()).toMatchObject({ held: 4 });
  });

  it.each(['stage', 'release', 'discard'] as const)(
    'needs one round trip for all tasks of a response: everything is asked before the first answer, %s()',
    async (method) => {
      const relay = await openRelay(redis.port);
      const engine = await startEngine({ connection: `redis://127.0.0.1:${relay.port}` });
      const held = (count: number) => Array.from({ length: count }, () => taskOf({ holdMs: HELD }));
      const [firstTasks, tasks] = [held(2), held(20)];
      if (method !== 'stage') await engine.stage([...firstTasks, ...tasks], {});
      const call = (on: readonly StagedTask[]): Promise<unknown> =>
        method === 'stage' ? engine.stage(on, {}) : engine[method](on.map(({ envelope }) => envelope.id));
      // Where a script is called for the first time, Redis is given it.
      await call(firstTasks);
      await engine.find(randomUUID());

      const [start, later] = [relay.asked.length, randomUUID()];
      const giveAnswers = relay.holdAnswers();
      const called = call(tasks);
      await new Promise(setImmediate);
      const found = engine.find(later);
      await untilHolds(() => relay.asked.includes(later));
      const before = relay.asked.slice(start);
      giveAnswers();
      await Promise.all([called, found]);
      const after = relay.asked.slice(start + before.length);

      const ids = tasks.map(({ envelope }) => envelope.id);
      expect(ids.filter((id) => before.includes(id))).toEqual(ids);
      expect(ids.filter((id) => after.includes(id))).toEqual([]);
    },
  );

  it('discards and releases what it holds when the memory of Redis is full', async () => {
    const full = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
    direct = new Redis(full.url);
    const engine = await startEngine({ connection: full.url });
    const [unwanted, wanted] = [taskOf({ holdMs: HELD }), taskOf({ holdMs: HELD })];
    await engine.stage([unwanted, wanted], {});
    await direct.config('SET', 'maxmemory', 1);
    await expect(engine.stage([taskOf()], {})).rejects.toThrow(/OOM/);
    for (let count = 0; count < 2; count += 1) {
      expect(await engine.discard([unwanted.envelope.id])).toEqual(['discarded']);
    }
    expect(await engine.find(unwanted.envelope.id)).toBeUndefined();
    expect(await engine.release([wanted.envelope.id])).toEqual(['released']);
  });

  it('works off what Redis holds when its memory is full: fetches, renews locks, tries again, puts back, and finds what has lost its worker', async () => {
    const full = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
    direct = new Redis(full.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: full.url, queue, ...WATCHED }, host);
    const soon = { holdMs: HELD, retry: retryOf(2, 0) };
    const [lasting, tried, later, back, lost] = [
      taskOf({ holdMs: HELD, task: 'lasting' }),
      taskOf({ ...soon, task: 'tried' }),
      taskOf({ ...soon, retry: retryOf(2, 1), task: 'later' }),
      taskOf({ holdMs: HELD, task: 'back' }),
      taskOf({ holdMs: HELD, task: 'lost' }),
    ];
    const tasks = [lasting, tried, later, back, lost];
    await engine.stage(tasks, {});
    const starts = new Map<string, number>();
    const [lastingStarted, mayEnd, lostStarted] = [makeGate(), makeGate(), makeGate()];
    const ends: Record<string, (count: number) => Promise<WorkResult>> = {
      async lasting() {
        lastingStarted.open();
        await mayEnd.opened;
        return COMPLETED;
      },
      tried: async (count) => (count > 1 ? COMPLETED : { kind: 'failed', error: new Error('once'), retry: true }),
      later: async (count) => (count > 1 ? COMPLETED : { kind: 'failed', error: new Error('once'), retry: true }),
      back: async (count) => (count > 1 ? COMPLETED : { kind: 'postponed', delayMs: 1 }),
      async lost(count) {
        lostStarted.open();
        if (count === 1) await mayEnd.opened;
        return COMPLETED;
      },
    };
    const working = await engine.work(
      ({ task }) => {
        const count = (starts.get(task) ?? 0) + 1;
        starts.set(task, count);
        return (ends[task] as (count: number) => Promise<WorkResult>)(count);
      },
      { concurrency: 5 },
    );
    await direct.config('SET', 'maxmemory', 1);
    await engine.release(tasks.map(({ envelope }) => envelope.id));
    await Promise.all([lastingStarted.opened, lostStarted.opened]);
    const lock = `bull:${queue}:${lasting.envelope.id}:lock`;
    let last = await direct.pttl(lock);
    await direct.del(`bull:${queue}:${lost.envelope.id}:lock`);
    for (const { envelope } of [tried, later, back, lost]) {
      await untilHolds(async () => (await engine.find(envelope.id))?.state === 'completed');
    }
    await untilHolds(async () => {
      const [before, now] = [last, await direct.pttl(lock)];
      last = now;
      return now > before;
    });
    mayEnd.open();
    await untilHolds(async () => (await engine.find(lasting.envelope.id))?.state === 'completed');
    expect(Object.fromEntries(starts)).toEqual({ lasting: 1, tried: 2, later: 2, back: 2, lost: 2 });
    expect(host.errors).toEqual([]);
    await working.stop();
  });

  it('keeps a job that is no task as failed, and says so', async () => {
    direct = new Redis(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const { Queue } = await import('bullmq');
    const foreign = new Queue(queue, { connection: direct });
    await foreign.add('theirs', {});
    const engine = await startEngine({ connection: redis.url, queue }, host);
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    await host.failed;
    await working.stop();
    expect(host.errors[0]?.message).toMatch(/to be a task of express-background-tasks, got 'theirs'/);
    expect(await engine.stats()).toMatchObject({ failed: 1, waiting: 0 });
    await foreign.close();
  });

  it.each<[string, (task: StagedTask) => object]>([
    ['another id', ({ envelope, retry }) => ({ envelope: { ...envelope, id: randomUUID() }, retry })],
    ['a name that is no text', ({ envelope, retry }) => ({ envelope: { ...envelope, task: { toString: 1 } }, retry })],
    ['a name without end', ({ envelope, retry }) => ({ envelope: { ...envelope, task: 'x'.repeat(1e6) }, retry })],
    ['no retries', ({ envelope }) => ({ envelope, retry: null })],
    [
      'retries that are no numbers',
      ({ envelope, retry }) => ({ envelope, retry: { ...retry, delay: { valueOf: 1 } } }),
    ],
    ['a text', () => Object('text')],
  ])(
    'keeps what others have made of a task as failed, says so in a few words, and goes on: %s',
    async (_what, made) => {
      direct = new Redis(redis.url);
      const [queue, host] = [randomUUID(), makeHost()];
      const engine = await startEngine({ connection: redis.url, queue }, host);
      const [changed, next] = [taskOf(), taskOf()];
      await engine.stage([changed], {});
      await direct.hset(
        `bull:${queue}:${changed.envelope.id}`,
        'data',
        JSON.stringify(made(changed)),
        'name',
        'x'.repeat(1e6),
      );
      await engine.stage([next], {});
      const [[envelope]] = (await starts(engine, 1)) as [Start];
      expect(envelope.id).toBe(next.envelope.id);
      expect(host.errors).toHaveLength(1);
      expect(host.errors[0]?.message).toContain('to be a task of express-background-tasks, got');
      expect(host.errors[0]?.message.length).toBeLessThan(500);
      expect(await engine.stats()).toMatchObject({ failed: 1, waiting: 0 });
    },
  );

  it.each([1, 2])('rejects with nothing of what it has sent, where Redis refuses it: %i tasks', async (count) => {
    const full = await startRedis({ args: ['--maxmemory', '1'] });
    const engine = await startEngine({ connection: full.url });
    const secret = (): StagedTask => {
      const { envelope, ...task } = taskOf();
      return { ...task, envelope: { ...envelope, args: ['swordfish'] } };
    };
    const staged = engine.stage(Array.from({ length: count }, secret), {});
    const shown = inspect(await staged.catch((error: Error) => error), { depth: null, maxStringLength: null });
    expect(shown).toContain('OOM');
    expect(shown).not.toContain('swordfish');
  });

  it('finds a task that ends while it is looked for with what it returned', async () => {
    const queue = randomUUID();
    const engine = await startEngine({ connection: redis.url, queue });
    const task = taskOf();
    await engine.stage([task], {});
    const url = await leadTo(redis.port, async () => {
      await starts(engine, 1, () => ({ kind: 'completed', value: 'done' }));
    });
    const looking = await startEngine({ connection: url, queue });
    expect(await looking.find(task.envelope.id)).toMatchObject({ state: 'completed', attempts: 1, value: 'done' });
  });

  it('finds nothing under the names that the queue uses for itself', async () => {
    const engine = await startEngine({ connection: redis.url });
    await engine.stage([taskOf()], {});
    for (const id of ['meta', 'wait', 'id', '1', '', 'a:b']) expect(await engine.find(id)).toBeUndefined();
  });

  it('does not start while Redis is down, and starts when it is there', async () => {
    const late = await startRedis();
    await late.kill();
    const host = makeHost();
    const engine = makeEngine({ connection: late.url });
    await expect(engine.start(host)).rejects.toThrow(/Redis can't be reached: .*ECONNREFUSED/);
    await late.start();
    await engine.start(host);
    await engine.stage([taskOf()], {});
    await starts(engine, 1);
    // The error of start() is reported by its caller.
    expect(host.errors).toEqual([]);
  });

  it('rejects while Redis is down, reports it once, and goes on when it is back', async () => {
    // Synced every second, as by default, Redis may answer before it writes: the kill would lose what is held.
    const server = await startRedis({ args: ['--appendfsync', 'always'] });
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const [held, ran] = [taskOf({ holdMs: HELD }), makeGate<string>()];
    await engine.stage([held], {});
    const working = await engine.work(
      async ({ id }) => {
        ran.open(id);
        return COMPLETED;
      },
      { concurrency: 1 },
    );
    await server.kill();
    await host.failed;
    const calls = [
      engine.stage([taskOf()], {}),
      engine.stage([taskOf(), taskOf()], {}),
      engine.release([held.envelope.id]),
      engine.discard([held.envelope.id]),
      engine.find(held.envelope.id),
      engine.stats(),
    ];
    await Promise.all(calls.map((call) => expect(call).rejects.toThrow(/Redis can't be reached: .*ECONN/)));
    expect(host.errors).toHaveLength(1);

    await server.start();
    while (true) {
      const results = await engine.release([held.envelope.id]).catch(() => undefined);
      if (results !== undefined) break;
    }
    expect(await ran.opened).toBe(held.envelope.id);
    await working.stop();
  });

  it.each([
    ['a URL', (port: number) => `redis://127.0.0.1:${port}`],
    ['a client', (port: number) => new Redis({ port, lazyConnect: true })],
  ])(
    'goes on after a planned failover, whose old master refuses to write and keeps its connections: %s',
    async (_what, connectionFor) => {
      const [old, next] = await startTwo();
      const [toOld, toNext] = [new Redis(old.url), new Redis(next.url)];
      atEnd(() => toOld.disconnect());
      atEnd(() => toNext.disconnect());
      await toNext.replicaof('127.0.0.1', old.port);
      await untilHolds(async () => (await toNext.info('replication')).includes('master_link_status:up'));
      const relay = await openRelay(old.port);
      const host = makeHost();
      const engine = await startEngine({ connection: connectionFor(relay.port) }, host);
      const [before, after] = [taskOf(), taskOf()];
      const [started, mayEnd, ended] = [makeGate(), makeGate(), makeGate()];
      const working = await engine.work(
        async ({ id }) => {
          if (id === after.envelope.id) ended.open();
          started.open();
          await mayEnd.opened;
          return COMPLETED;
        },
        { concurrency: 1 },
      );
      await engine.stage([before], {});
      await started.opened;
      // A planned failover waits until the replica has everything.
      await toOld.set('the last before the failover', 1);
      expect(await toOld.wait(1, 10_000)).toBe(1);
      await toNext.replicaof('NO', 'ONE');
      await toOld.replicaof('127.0.0.1', next.port);
      relay.leadTo(next.port);
      mayEnd.open();
      await engine.stage([after], {});
      await ended.opened;
      await working.stop();
      expect(await engine.find(before.envelope.id)).toMatchObject({ state: 'completed', attempts: 1 });
    },
  );

  it('a worker that is given a task again which it still runs ends the first run, and keeps the lock of the second when that has ended', async () => {
    direct = new Redis(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: redis.url, queue, ...WATCHED }, host);
    const task = taskOf();
    const [firstStarted, firstLost, firstMayEnd] = [makeGate(), makeGate<unknown>(), makeGate()];
    const [secondStarted, secondMayEnd] = [makeGate(), makeGate()];
    const started: WorkContext[] = [];
    const working = await engine.work(
      async (_envelope, context) => {
        const { signal } = context;
        started.push(context);
        if (started.length > 1) {
          secondStarted.open();
          await secondMayEnd.opened;
          return { kind: 'completed', value: 'second' };
        }
        signal.addEventListener('abort', () => firstLost.open(signal.reason));
        firstStarted.open();
        await firstMayEnd.opened;
        return { kind: 'completed', value: 'first' };
      },
      { concurrency: 2 },
    );
    await engine.stage([task], {});
    await firstStarted.opened;
    const lock = `bull:${queue}:${task.envelope.id}:lock`;
    await direct.del(lock);
    await secondStarted.opened;
    expect(await firstLost.opened).toMatchObject({
      message: `The lock of task ${task.envelope.id} could not be renewed in time: this worker has been given it again.`,
    });
    firstMayEnd.open();
    // Twice, since one renewal may have been under way.
    for (let renewals = 0; renewals < 2; renewals += 1) {
      let last = await direct.pttl(lock);
      await untilHolds(async () => {
        const [before, now] = [last, await direct.pttl(lock)];
        last = now;
        return now > before;
      });
    }
    expect(started.map(({ attempt }) => attempt)).toEqual([1, 2]);
    secondMayEnd.open();
    await untilHolds(async () => (await engine.find(task.envelope.id))?.state === 'completed');
    expect(await engine.find(task.envelope.id)).toMatchObject({ attempts: 2, value: 'second' });
    expect(host.errors).toEqual([]);
    await working.stop();
  });

  it('where it gives up a task that has lost its worker too often it counts no attempt, ends what still runs of it, and says so in a few words', async () => {
    direct = new Redis(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const timing = { lockDuration: 1_000, stalledInterval: 100, maxStalledCount: 0 };
    const engine = await startEngine({ connection: redis.url, queue, ...timing }, host);
    const [task, started, ended] = [taskOf(), makeGate(), makeGate()];
    const working = await engine.work(
      async (_envelope, { signal }) => {
        started.open();
        await once(signal, 'abort');
        ended.open();
        return COMPLETED;
      },
      { concurrency: 2 },
    );
    await engine.stage([task], {});
    await started.opened;
    const { id } = task.envelope;
    await direct.hset(`bull:${queue}:${id}`, 'name', `${'x'.repeat(1e6)}\n`);
    await direct.del(`bull:${queue}:${id}:lock`);
    await host.failed;
    expect(host.errors[0]?.message).toMatch(
      /^Task 'x+'\.\.\. 999901 more characters \([-0-9a-f]+\) lost its worker more than 0 times/,
    );
    expect(host.warnings).toEqual([
      expect.stringMatching(`^Task ${id} lost its worker, .* unless that has happened more than 0 times\\.$`),
    ]);
    await untilHolds(async () => (await engine.find(id))?.state === 'failed');
    expect(await engine.find(id)).toMatchObject({
      attempts: 1,
      error: { message: expect.stringContaining('stalled') },
    });
    await ended.opened;
    await working.stop();
  });

  it('says in a few words why a task was given up, also where others have written that', async () => {
    direct = new Redis(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: redis.url, queue }, host);
    const task = taskOf();
    await engine.stage([task], {});
    await direct.hset(`bull:${queue}:${task.envelope.id}`, 'defa', `forged\n${'x'.repeat(1e6)}`);
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    await host.failed;
    expect(host.errors[0]?.message).toMatch(/ is kept as failed: 'forged\\nx+'\.\.\. 999907 more characters\.$/);
    await working.stop();
  });

  it('reports once that a lock is lost, however long a task goes on after that', async () => {
    direct = new Redis(redis.url);
    const [queue, host] = [randomUUID(), makeHost()];
    const engine = await startEngine({ connection: redis.url, queue, lockDuration: 200 }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 1);
    await engine.stage([taskOf()], {});
    await started.opened;
    await direct.config('RESETSTAT');
    await direct.del(await direct.keys(`bull:${queue}:*:lock`));
    const calls = async (): Promise<number> =>
      Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(await direct.info('commandstats'))?.[1]);
    await untilHolds(async () => (await calls()) >= 5);
    mayEnd.open();
    await working.stop();
    expect(host.errors.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^could not renew lock for job /),
    ]);
  });

  it('reports once that no sentinel answers, and goes on when one does', async () => {
    const server = await startRedis();
    const sentinel = await startSentinel(server.port);
    const host = makeHost();
    const connection = { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'shop' };
    const engine = await startEngine({ connection }, host);
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    sentinel.isThere = false;
    direct = new Redis(server.url);
    await direct.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await host.failed;
    await untilHolds(() => sentinel.hangUps >= 12);
    expect(host.errors).toHaveLength(1);
    sentinel.isThere = true;
    const task = taskOf();
    await untilHolds(() =>
      engine.stage([task], {}).then(
        () => true,
        () => false,
      ),
    );
    await untilHolds(async () => (await engine.find(task.envelope.id))?.state === 'completed');
    await working.stop();
  });

  it('says so if its connection leads to a replica permanently', async () => {
    const [master, replica] = await startTwo();
    direct = new Redis(replica.url);
    await direct.replicaof('127.0.0.1', master.port);
    await untilHolds(async () => (await direct.info('replication')).includes('master_link_status:up'));
    const engine = await startEngine({ connection: replica.url });
    await expect(engine.stage([taskOf()], {})).rejects.toThrow(/READONLY/);
  });

  it('waits while Redis refuses what its worker asks for, says so once, and keeps what the task came to', async () => {
    const server = await startRedis();
    direct = new Redis(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const [first, second] = [taskOf(), taskOf()];
    const [started, mayEnd, secondStarted] = [makeGate(), makeGate(), makeGate()];
    const working = await engine.work(
      async ({ id }) => {
        if (id === second.envelope.id) secondStarted.open();
        started.open();
        await mayEnd.opened;
        return COMPLETED;
      },
      { concurrency: 2 },
    );
    await engine.stage([first], {});
    await started.opened;
    const waits = jest.spyOn(globalThis, 'setTimeout');
    atEnd(() => waits.mockRestore());
    await direct.config('RESETSTAT');
    await direct.config('SET', 'min-replicas-to-write', '1');
    mayEnd.open();
    await host.failed;
    const refusals = async (): Promise<number> =>
      Number(/^cmdstat_evalsha:.*failed_calls=(\d+)/m.exec(await direct.info('commandstats'))?.[1]);
    await untilHolds(async () => (await refusals()) >= 3);
    // Of what is asked again, each is the end of a wait. The search for lost tasks is refused as well, and has its interval.
    const asked = waits.mock.calls.filter(([, ms]) => ms === ASK_AGAIN_AFTER).length;
    expect(await refusals()).toBeLessThanOrEqual(2 * asked);
    expect(host.errors.map(({ message }) => message)).toEqual([expect.stringMatching(/^NOREPLICAS/)]);
    await direct.config('SET', 'min-replicas-to-write', '0');
    await engine.stage([second], {});
    await secondStarted.opened;
    await untilHolds(async () => (await engine.find(first.envelope.id))?.state !== 'running');
    expect(await engine.find(first.envelope.id)).toMatchObject({ state: 'completed', attempts: 1 });
    await working.stop();
  });

  it('asks each second whether there are tasks while Redis refuses that, and takes them when it does not any more', async () => {
    const server = await startRedis();
    direct = new Redis(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const ran = makeGate();
    const working = await engine.work(
      async () => {
        ran.open();
        return COMPLETED;
      },
      { concurrency: 1 },
    );
    const waiting = async () => /^id=(\d+) .* cmd=bzpopmin /m.exec((await direct.client('LIST')) as string)?.[1];
    await untilHolds(async () => (await waiting()) !== undefined);
    await direct.config('SET', 'min-replicas-to-write', '1');
    const waits = jest.spyOn(globalThis, 'setTimeout');
    atEnd(() => waits.mockRestore());
    await direct.client('KILL', 'ID', Number(await waiting()));
    const refusals = async (): Promise<number> =>
      Number(/^cmdstat_bzpopmin:.*rejected_calls=(\d+)/m.exec(await direct.info('commandstats'))?.[1]);
    await untilHolds(async () => (await refusals()) >= 3);
    expect(await refusals()).toBeLessThanOrEqual(
      1 + waits.mock.calls.filter(([, ms]) => ms === ASK_AGAIN_AFTER).length,
    );
    expect(host.errors.map(({ message }) => message)).toEqual([expect.stringMatching(/^NOREPLICAS/)]);
    await direct.config('SET', 'min-replicas-to-write', '0');
    await engine.stage([taskOf()], {});
    await ran.opened;
    await working.stop();
  });

  it('stops while Redis refuses what its worker asks for', async () => {
    const server = await startRedis();
    direct = new Redis(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const { working, started, mayEnd } = await workAtTheGate(engine, 2);
    await engine.stage([taskOf()], {});
    await started.opened;
    await direct.config('SET', 'min-replicas-to-write', '1');
    mayEnd.open();
    await host.failed;
    const before = performance.now();
    await working.stop();
    expect(performance.now() - before).toBeLessThan(3_000);
  });

  it('fetches nothing more when Redis takes again, while it stops, what it had refused', async () => {
    const server = await startRedis();
    direct = new Redis(server.url);
    const host = makeHost();
    const engine = await startEngine({ connection: server.url }, host);
    const [done, lasting, waiting] = [taskOf(), taskOf(), taskOf()];
    const [bothStarted, mayEnd, mayStop] = [makeGate(), makeGate(), makeGate()];
    const started: string[] = [];
    const working = await engine.work(
      async ({ id }) => {
        if (started.push(id) === 2) bothStarted.open();
        await (id === done.envelope.id ? mayEnd : mayStop).opened;
        return COMPLETED;
      },
      { concurrency: 2 },
    );
    await engine.stage([done, lasting], {});
    await bothStarted.opened;
    await engine.stage([waiting], {});
    await direct.config('SET', 'min-replicas-to-write', '1');
    mayEnd.open();
    await host.failed;
    const stopped = working.stop();
    await direct.config('SET', 'min-replicas-to-write', '0');
    await untilHolds(async () => (await engine.find(done.envelope.id))?.state === 'completed');
    mayStop.open();
    await stopped;
    expect(started).not.toContain(waiting.envelope.id);
    expect(await engine.find(waiting.envelope.id)).toMatchObject({ state: 'waiting' });
  });

  it('closes while Redis is down', async () => {
    const server = await startRedis();
    const engine = await startEngine({ connection: server.url });
    const working = await engine.work(async () => COMPLETED, { concurrency: 1 });
    await server.kill();
    await expect(engine.stats()).rejects.toThrow();
    await working.stop();
    await engine.close();
    await expect(engine.stats()).rejects.toThrow(/closed/);
  });
});

if (!redisIsInstalled) it.skip('redis-server is not installed here', () => {});
