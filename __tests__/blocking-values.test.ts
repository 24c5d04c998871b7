/** What a blocking task is given and what it returns, to and from threads and processes. */
import { Blob, File } from 'node:buffer';
import { types } from 'node:util';
import { MessageChannel } from 'node:worker_threads';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { move } from 'express-background-tasks';
import { atEnd } from './support/cleanup.ts';
import { makeWorkerGate } from './support/gates.ts';
import { openLogBook } from './support/log-book.ts';
import { thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { shareBackground } from './support/shared-background.ts';
import { workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

const bytesOf = (length: number): Uint8Array => new Uint8Array(length).map((_, index) => index % 100);

describe.each(workerKinds)('to and from $plural:', (kind) => {
  const { executor, tasks, aware, sharesMemory } = kind;
  const log = openLogBook();
  const shared = shareBackground({ ...kind.options(1), logger: log.logger, timeout: 3_000 });
  beforeEach(() => log.clear());

  describe('arguments and results', () => {
    it.each<[string, unknown]>([
      ['undefined', undefined],
      ['null', null],
      ['NaN', Number.NaN],
      ['a BigInt', 2n ** 80n],
      ['a nested plain object', { a: [{ b: { c: [1, 'two', null] } }] }],
      ['a Map', new Map([['key', new Map([[1, 'one']])]])],
      ['a Set', new Set([1, 'two'])],
      ['a Date', new Date(86_400_000)],
      ['a RegExp', /a+/giu],
      ['a Uint8Array', new Uint8Array([1, 2, 3])],
      ['a part of a Uint8Array', new Uint8Array([1, 2, 3, 4, 5]).subarray(1, 4)],
      ['a Float64Array', new Float64Array([0.5, -0])],
      ['a BigInt64Array', new BigInt64Array([-1n, 2n ** 40n])],
      ['an ArrayBuffer', new Uint8Array([9, 8]).buffer],
      ['a sparse array', Object.assign(new Array(3), { 0: 'first', 2: 'third' })],
      ['several megabytes', 'x'.repeat(4_000_000)],
      ['a long array', Array.from({ length: 200_000 }, (_, index) => index)],
      ['a large Set', new Set(Array.from({ length: 200_000 }, (_, index) => index))],
    ])('cross both ways: %s', async (_what, given) => {
      const { state, value } = await shared().add(tasks.echo, given).settled;
      expect(state).toBe('completed');
      expect(value).toEqual(given);
    });

    it.each<[string, unknown, string]>([
      ['a Map', new Map(), '[object Map]'],
      ['a Date', new Date(), '[object Date]'],
      ['a BigInt', 1n, '[object BigInt]'],
      ['a Uint16Array', new Uint16Array(2), '[object Uint16Array]'],
    ])('arrive as what they were: %s', async (_what, given, arrives) => {
      expect((await shared().add(tasks.kindOf, given).settled).value).toBe(arrives);
    });

    it('arrive as plain objects where they are instances of a class', async () => {
      class Account {
        readonly id = 7;
        #secret = 'kept';
        reveal(): string {
          return this.#secret;
        }
      }
      const { value } = await shared().add(tasks.echo, new Account()).settled;
      expect(value).toEqual({ id: 7 });
    });

    it('arrive as bytes where they are Buffers', async () => {
      const { value } = await shared().add(tasks.echo, Buffer.from('bytes')).settled;
      expect(types.isUint8Array(value)).toBe(true);
      expect(Buffer.from(value as Uint8Array).toString()).toBe('bytes');
    });

    it('arrive without the memory that a small Buffer shares with others there', async () => {
      const { value } = await shared().add(tasks.returnSmallBuffer).settled;
      const bytes = value as Uint8Array;
      expect(Buffer.from(bytes).toString()).toBe('bytes');
      // A process sends bytes in a message, of which the rest is the package's own.
      if (kind.sharesMemory) expect(bytes.buffer.byteLength).toBe(bytes.byteLength);
    });

    it('arrive intact if they refer to themselves', async () => {
      const circular: { name: string; self?: unknown } = { name: 'ring' };
      circular.self = circular;
      const { value } = await shared().add(tasks.echo, circular).settled;
      expect((value as typeof circular).self).toBe(value);
    });

    it('are copied at add: later changes do not reach the task', async () => {
      const background = shared();
      const order = { items: ['a'], at: new Date(0), bytes: Buffer.from('before') };
      const list = [1];
      const gate = await makeWorkerGate();
      background.add(tasks.hold, gate.port);
      const echoed = background.add(tasks.echo, order);
      const counted = background.add(tasks.echo, list);
      order.items.push('b');
      order.at.setFullYear(2000);
      order.bytes.write('after!');
      list.push(2);
      gate.open();

      const { value } = await echoed.settled;
      expect(value).toMatchObject({ items: ['a'], at: new Date(0) });
      expect(Buffer.from((value as typeof order).bytes).toString()).toBe('before');
      expect((await counted.settled).value).toEqual([1]);
    });
  });

  describe('arguments that cannot cross', () => {
    const portToSend = (): unknown => {
      const { port1, port2 } = new MessageChannel();
      atEnd(() => port1.close());
      return port2;
    };

    const nowhere: [string, () => unknown][] = [
      ['a function', () => () => {}],
      ['a function inside an object', () => ({ on: { done: () => {} } })],
      ['a function inside an array', () => [1, [() => {}]]],
      ['a function that an array carries as a property', () => Object.assign([1], { sum: () => 1 })],
      ['a symbol', () => Symbol('s')],
      ['a Proxy', () => new Proxy({}, {})],
      ['a promise', () => Promise.resolve(1)],
      ['a WeakMap', () => new WeakMap()],
    ];
    const onlyWhereMemoryIsShared: [string, () => unknown][] = [
      ['a SharedArrayBuffer', () => new SharedArrayBuffer(8)],
      ['a SharedArrayBuffer inside a Map', () => new Map([['memory', new SharedArrayBuffer(8)]])],
      ['a typed array in shared memory', () => new Int32Array(new SharedArrayBuffer(8))],
      ['a MessagePort', portToSend],
      ['a MessagePort that is moved', () => move(portToSend() as Uint8Array)],
      ['a Blob', () => new Blob(['bytes'])],
      ['a File', () => new File(['bytes'], 'name')],
    ];

    it.each([...nowhere, ...(sharesMemory ? [] : onlyWhereMemoryIsShared)])('are refused in add: %s', (_what, make) => {
      const background = kind.open(1);
      const error = thrownBy(() => background.add(tasks.add as never, 1 as never, make() as never));
      expect(error.code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
      expect(error.message).toContain('argument 1 of task add');
      expect(background.stats().added).toBe(0);
      expect(kind.counts(background).workers).toBe(0);
    });

    it('are named by the task name that `with` gives, and their index', () => {
      const adder = shared().with({ name: 'resize' });
      const error = thrownBy(() => adder.add(tasks.echo, () => {}));
      expect(error.message).toContain('argument 0 of task resize');
    });

    it('leave the task before and the task after untouched', async () => {
      const background = shared();
      const { added } = background.stats();
      const before = background.add(tasks.add, 1, 1);
      expect(() => background.add(tasks.echo, () => {})).toThrow();
      const after = background.add(tasks.add, 2, 2);
      expect((await before.settled).value).toBe(2);
      expect((await after.settled).value).toBe(4);
      expect(background.stats()).toMatchObject({ added: added + 2, settled: added + 2 });
    });
  });

  describe('move()', () => {
    it('transfers the buffer at add, and the task may transfer one back', async () => {
      const bytes = bytesOf(10_000);
      const handle = shared().add(aware.doubled, move(bytes));
      expect(bytes.byteLength).toBe(0);
      const { state, value } = await handle.settled;
      expect(state).toBe('completed');
      expect(value).toEqual(bytesOf(10_000).map((byte) => byte * 2));
    });

    it('works for an ArrayBuffer', async () => {
      const { buffer } = bytesOf(64);
      const handle = shared().add(tasks.lengthOf, move(buffer as ArrayBuffer));
      expect(buffer.byteLength).toBe(0);
      expect((await handle.settled).value).toBe(64);
    });

    it('leaves a copy for the next attempt', async () => {
      const background = shared();
      const bytes = bytesOf(5_000);
      const handle = background.with({ retry: { attempts: 3, delay: 0 } }).add(aware.failUntil, 3, move(bytes));
      expect(bytes.byteLength).toBe(0);
      const errors: string[] = [];
      background.on('retrying', ({ error }) => errors.push(error.message));

      const { state, value, attempts } = await handle.settled;
      expect({ state, attempts }).toEqual({ state: 'completed', attempts: 3 });
      expect(value).toHaveLength(5_000);
      expect(errors).toEqual(['attempt 1 of 5000 bytes', 'attempt 2 of 5000 bytes']);
    });

    it('copies a Buffer that Node cut from its shared pool', async () => {
      const neighbour = Buffer.from('neighbour');
      const pooled = Buffer.from('pooled');
      expect(pooled.buffer.byteLength).toBeGreaterThan(pooled.byteLength);
      const handle = shared().add(tasks.lengthOf, move(pooled));

      expect(pooled.toString()).toBe('pooled');
      expect(neighbour.toString()).toBe('neighbour');
      expect((await handle.settled).value).toBe(6);
    });

    it('works for two arguments that view the same memory', async () => {
      const { buffer } = bytesOf(32);
      const views = [move(new Uint8Array(buffer, 0, 4)), move(new Uint8Array(buffer, 4, 4))];
      const handle = shared().add(aware.failUntil as never, ...([1, ...views] as never[]));
      expect(await handle.settled).toMatchObject({ state: 'completed', value: [0, 1, 2, 3] });
    });

    it('applies to one call: passed again without it, the buffer is copied', async () => {
      const background = kind.open(1, {}, { maxBacklog: 1 });
      const gate = await makeWorkerGate();
      const holding = background.add(tasks.hold, gate.port);
      const bytes = bytesOf(16);
      expect(thrownBy(() => background.add(tasks.lengthOf, move(bytes))).code).toBe('ERR_BACKGROUND_FULL');
      gate.open();
      await holding.settled;
      const onLoop = await background.add((given: Uint8Array) => given.length, move(bytes)).settled;
      const blocking = await background.add(tasks.lengthOf, bytes).settled;
      expect([onLoop.value, blocking.value, bytes.length]).toEqual([16, 16, 16]);
    });

    it('tells which argument of which task was moved away before', () => {
      const background = shared();
      const bytes = bytesOf(16);
      background.add(tasks.lengthOf, move(bytes));
      for (const again of [bytes, move(bytes)]) {
        const error = thrownBy(() =>
          background.add(tasks.lengthOf as never, ...([move(bytesOf(8)), again] as never[])),
        );
        expect(error.code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
        expect(error.message).toContain('argument 1 of task lengthOf');
      }
    });

    it('takes nothing along of the memory that another argument shares with strangers', async () => {
      const pooled = Buffer.from('pooled');
      expect(pooled.buffer.byteLength).toBeGreaterThan(pooled.byteLength);
      const { value } = await shared().add(tasks.memoryOf, pooled, move(bytesOf(8))).settled;
      expect(Math.max(...(value as number[]))).toBeLessThan(pooled.buffer.byteLength);
    });
  });

  describe('a result that cannot come back', () => {
    it.each([
      'returnFunction',
      'returnNestedFunction',
      'returnSymbol',
      'returnProxy',
      'returnThrowingGetter',
      'returnArrayWithMethod',
      'returnArrayWithThrowingElement',
      ...(sharesMemory ? [] : (['returnSharedMemory'] as const)),
    ] as const)(
      `leaves the task completed without a value, warns once, and the ${executor} lives: %s`,
      async (name) => {
        const background = shared();
        const before = await kind.placeOf(background);
        const outcome = await background.add(tasks[name]).settled;

        expect(outcome).toMatchObject({ state: 'completed', value: undefined });
        const warnings = log.lines.filter(({ level }) => level === 'warn');
        expect(warnings).toMatchObject([{ task: name, code: 'ERR_BACKGROUND_RESULT_NOT_CLONEABLE' }]);
        expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
        expect(await kind.placeOf(background)).toEqual(before);
      },
    );
  });

  describe('a result with references back', () => {
    it('crosses in no more time than it takes to copy it', async () => {
      const { state, value } = await shared().add(tasks.returnTree, 500).settled;
      expect(state).toBe('completed');
      expect(value?.children).toHaveLength(500);
      expect(value?.children[499]?.parent === value).toBe(true);
    });

    it('is not searched once for each path that leads to a part of it', async () => {
      const { state, value } = await shared().add(tasks.returnSameListOverAndOver, 60, 7).settled;
      expect(state).toBe('completed');
      expect(value).toHaveLength(60);
    });
  });
});

describe('move()', () => {
  it('refuses what cannot be moved', () => {
    for (const value of ['text', {}, undefined]) {
      expect(thrownBy(() => move(value as never)).code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    }
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'got null.'],
    ['undefined', undefined, 'got undefined.'],
    ['a string', 'text', 'got a string.'],
    ['an array', [1], 'got an array.'],
    ['an instance of a class without a name', new (class {})(), 'got an object.'],
  ])('says what came: %s', (_what, value, message) => {
    expect(thrownBy(() => move(value as never)).message).toBe(
      `Expected move() to be given a typed array, a Buffer, an ArrayBuffer or a MessagePort, ${message}`,
    );
  });

  it.each<[string, unknown, string]>([
    ['a SharedArrayBuffer', new SharedArrayBuffer(8), 'SharedArrayBuffer'],
    ['a typed array in one', new Uint8Array(new SharedArrayBuffer(8)), 'Uint8Array'],
    ['a Buffer in one', Buffer.from(new SharedArrayBuffer(8)), 'Buffer'],
  ])('says that shared memory cannot be moved: %s', (_what, value, name) => {
    const { code, message } = thrownBy(() => move(value as never));
    expect(code).toBe('ERR_BACKGROUND_NOT_CLONEABLE');
    expect(message).toBe(
      `Expected move() to be given memory of its own, got an object of class ${name} in shared memory, which cannot be moved: pass it without move(), and a thread has the same memory.`,
    );
  });
});
