/** What a task throws arrives unchanged, whatever it is and wherever it was thrown. */
import { describe, expect, it } from '@jest/globals';
import { BackgroundTaskError, blocking, type Outcome } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { shareThread } from './support/shared-thread.ts';

expectNoProcessFaults();

type Thrower = () => void;

interface ThreadErrors {
  readonly byName: (name: string) => void;
  readonly storage: Thrower;
  readonly aggregate: Thrower;
  readonly aggregateOfItself: Thrower;
  readonly validation: Thrower;
  readonly validationTable: Thrower;
  readonly flaky: Thrower;
  readonly circularCause: Thrower;
  readonly longCauses: Thrower;
  readonly throwingGetter: Thrower;
  readonly throwingCause: Thrower;
  readonly unclonableProperty: Thrower;
  readonly pollution: Thrower;
  readonly rejection: Thrower;
  readonly thenable: Thrower;
  readonly plain: Thrower;
  readonly inheritedCode: Thrower;
  readonly inheritedBrokenCode: Thrower;
  readonly aborted: Thrower;
  readonly throwBranded: (change: string) => void;
  readonly leaveBranded: (change: string) => void;
}

const url = fixture('thread-errors.mjs');
const errors = blocking<ThreadErrors>(url);
const anyOf = blocking<Record<string, Thrower>>(url);

/** A task that hangs instead of failing is timed out soon enough for the test to report it. */
const oneThread = shareThread({ timeout: 15_000 });

async function errorOf(task: Thrower | (typeof errors)['storage']): Promise<Error> {
  const { state, error } = await oneThread().add(task).settled;
  expect(state).toBe('failed');
  return error as Error;
}

describe('an error that a thread throws', () => {
  it('keeps its name, message, stack, code and own properties', async () => {
    const error = await errorOf(errors.storage);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'StorageError',
      message: 'upload failed',
      code: 'ETIMEDOUT',
      attempts: 3,
      details: { bucket: 'images', keys: ['a', 'b'] },
    });
    expect(Object.hasOwn(error, 'when')).toBe(true);
    expect(error.stack).toContain('thread-errors.mjs');
    expect(String(error)).toBe('StorageError: upload failed');
  });

  it('keeps a code that is of its class, and lists it no more than its class does', async () => {
    const error = await errorOf(errors.inheritedCode);
    expect(error).toMatchObject({ message: 'coded', code: 'E_OF_ITS_CLASS' });
    expect(Object.keys(error)).toEqual([]);
    expect(await errorOf(errors.aborted)).toMatchObject({ name: 'AbortError', code: DOMException.ABORT_ERR });
  });

  it('arrives without a code of its class that cannot be read', async () => {
    const error = await errorOf(errors.inheritedBrokenCode);
    expect(error).toMatchObject({ name: 'Error', message: 'with a broken code' });
    expect('code' in error).toBe(false);
  });

  it('lists the same enumerable properties as it would in its own thread', async () => {
    const error = await errorOf(errors.storage);
    expect(Object.keys(error).sort()).toEqual(expect.arrayContaining(['attempts', 'code', 'details', 'when']));
    expect(Object.keys(error)).not.toContain('message');
    expect(Object.keys(error)).not.toContain('stack');
  });

  it('keeps its chain of causes, each with its class and properties', async () => {
    const { cause } = await errorOf(errors.storage);
    expect(cause).toBeInstanceOf(TypeError);
    expect(cause).toMatchObject({ message: 'request failed' });
    expect((cause as Error).cause).toBeInstanceOf(Error);
    expect((cause as Error).cause).toMatchObject({ message: 'connection refused', code: 'ECONNREFUSED', port: 9000 });
  });

  it.each([
    ['TypeError', TypeError],
    ['RangeError', RangeError],
    ['SyntaxError', SyntaxError],
    ['ReferenceError', ReferenceError],
    ['EvalError', EvalError],
    ['URIError', URIError],
  ])('stays an instance of its class: %s', async (name, Class) => {
    const { error } = await oneThread().add(errors.byName, name).settled;
    expect(error).toBeInstanceOf(Class);
    expect(error).toMatchObject({ name, message: `a ${name}` });
  });

  it('keeps the errors of an AggregateError', async () => {
    const error = (await errorOf(errors.aggregate)) as AggregateError;
    expect(error).toBeInstanceOf(AggregateError);
    expect(error.message).toBe('all failed');
    expect(error.errors).toHaveLength(3);
    expect(error.errors[0]).toBeInstanceOf(TypeError);
    expect(error.errors[1]).toMatchObject({ name: 'StorageError', code: 'ETIMEDOUT' });
    expect(error.errors[2]).toBe('third');
  });

  it('keeps its class where it has a list of errors without being an AggregateError', async () => {
    const error = await errorOf(errors.validation);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ errors: [{ path: '/name', message: 'is required' }] });
  });

  it('keeps a table of errors', async () => {
    expect(await errorOf(errors.validationTable)).toMatchObject({ errors: { name: 'is required' } });
  });

  it('is what `retryIf` is given', async () => {
    const background = oneThread();
    const asked: unknown[] = [];
    const retryIf = (error: { code?: unknown }): boolean => {
      asked.push(error.code);
      return error.code === 'ETIMEDOUT';
    };
    const outcome = await background.with({ retry: { attempts: 10, delay: 0, retryIf } }).add(errors.flaky).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 3, error: { code: 'EACCES', message: 'attempt 3' } });
    expect(asked).toEqual(['ETIMEDOUT', 'ETIMEDOUT', 'EACCES']);
  });

  it('may be a rejection', async () => {
    expect(await errorOf(errors.rejection)).toBeInstanceOf(RangeError);
  });

  it('may be the rejection of something that only looks like a promise', async () => {
    expect(await errorOf(errors.thenable)).toMatchObject({ message: 'rejected by hand' });
  });

  it('may have itself as its cause', async () => {
    const error = await errorOf(errors.circularCause);
    expect(error).toMatchObject({ message: 'a ring', cause: { message: 'a ring' } });
  });

  it('may have a thousand causes, of which the first are kept', async () => {
    expect(await errorOf(errors.longCauses)).toMatchObject({
      message: 'cause 999',
      cause: { message: 'cause 998', cause: { message: 'cause 997' } },
    });
  });

  it('may be an AggregateError that holds itself several times', async () => {
    expect(await errorOf(errors.aggregateOfItself)).toMatchObject({ message: 'a ring' });
  });

  it('arrives without a property whose getter throws', async () => {
    const error = await errorOf(errors.throwingGetter);
    expect(error).toMatchObject({ message: 'with a getter' });
    expect(Object.hasOwn(error, 'details')).toBe(false);
  });

  it('arrives without properties that cannot be cloned, and with the others', async () => {
    const error = await errorOf(errors.unclonableProperty);
    expect(error).toMatchObject({ message: 'with a socket', code: 'E_SOCKET' });
    expect(Object.hasOwn(error, 'socket')).toBe(false);
    expect(Object.hasOwn(error, 'method')).toBe(false);
  });

  it('cannot reach a prototype by what it carries', async () => {
    const error = await errorOf(errors.pollution);
    expect(error).toMatchObject({ name: 'Error', message: 'pollution' });
    expect(Object.getPrototypeOf(error)).toBe(Error.prototype);
    expect(error.constructor).toBe(Error);
    expect(Object.hasOwn(error, 'prototype')).toBe(false);
    for (const value of [{}, [], error, new Error('another'), () => {}]) {
      expect((value as { polluted?: unknown }).polluted).toBeUndefined();
    }
  });

  it('is one of the package where the package made it: known by its class, with its help', async () => {
    const { error } = await oneThread().add(anyOf['missing'] as never).settled;
    expect(error).toBeInstanceOf(BackgroundTaskError);
    expect(error).toMatchObject({
      name: 'BackgroundTaskError',
      code: 'ERR_BACKGROUND_EXPORT',
      help: expect.stringContaining('err_background_export'),
    });
  });
});

describe('an error of the package whose code a thread has changed', () => {
  const cases: [string, string, unknown][] = [
    ['to a number', 'number', 408],
    ['by taking it away', 'none', undefined],
    ['to a getter', 'getter', undefined],
  ];

  it.each(cases)('is no longer one of the package, and keeps the rest: %s', async (_how, change, code) => {
    const { state, error } = await oneThread().add(errors.throwBranded, change).settled;
    expect(state).toBe('failed');
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(BackgroundTaskError);
    expect(error).toMatchObject({ name: 'BackgroundTaskError', message: 'of the package' });
    expect((error as { code?: unknown }).code).toBe(code);
  });

  it.each(cases)('does no harm as a rejection that was left behind: %s', async (_how, change) => {
    const background = oneThread();
    await background.add(errors.leaveBranded, change).settled;
    const next = await background.add(errors.byName, 'TypeError').settled;
    expect(next.error).toBeInstanceOf(TypeError);
  });
});

describe('something thrown that is no error', () => {
  const cases: [string, string, unknown][] = [
    ['null', 'nul', null],
    ['undefined', 'undef', undefined],
    ['a string', 'text', 'only text'],
    ['a number', 'number', 42],
    ['a plain object', 'plain', { code: 'E_PLAIN', status: 400 }],
  ];

  it.each(cases)('fails the task with an error that has it as its cause: %s', async (_what, name, thrown) => {
    const error = await errorOf(anyOf[name] as never);
    expect(error).toBeInstanceOf(BackgroundTaskError);
    expect((error as BackgroundTaskError).code).toBe('ERR_BACKGROUND_NOT_AN_ERROR');
    expect(error.cause).toEqual(thrown);
  });

  it.each([
    ['a symbol', 'symbol'],
    ['a function', 'aFunction'],
    ['an object with a function', 'objectWithFunction'],
    ['an array with a method', 'arrayWithMethod'],
    ['a Proxy of an object that throws at every touch', 'proxyOfObject'],
    ['a Proxy of an error that throws at every touch', 'proxyOfError'],
    ['a Proxy of a function that throws at every touch', 'proxyOfFunction'],
    ['a function whose name is a symbol', 'functionWithSymbolName'],
    ['an error whose message throws', 'throwingMessage'],
    ['an error whose cause throws', 'throwingCause'],
    ['an error whose name is a symbol', 'strangeName'],
  ])('fails the task, and the thread lives: %s', async (_what, name) => {
    const background = oneThread();
    const { whereAmI } = blocking<typeof import('./fixtures/thread-tasks.mjs')>(fixture('thread-tasks.mjs'));
    const before = (await background.add(whereAmI).settled).value?.threadId;
    const outcome = await background.add(anyOf[name] as never).settled;
    expect(outcome.state).toBe('failed');
    expect(outcome.error).toBeInstanceOf(Error);
    expect(typeof outcome.error?.message).toBe('string');
    expect((await background.add(whereAmI).settled).value?.threadId).toBe(before);
  });
});

describe('what an event-loop task throws', () => {
  const trap = (): never => {
    throw new Error('a trap');
  };
  const traps = { get: trap, has: trap, getPrototypeOf: trap, ownKeys: trap, getOwnPropertyDescriptor: trap };

  async function settle(task: () => unknown): Promise<Outcome> {
    const background = makeBackground();
    const { settled } = background.add(task);
    await background.idle();
    expect(background.stats()).toMatchObject({ added: 1, settled: 1 });
    return settled;
  }

  it.each<[string, (thrown: unknown) => unknown]>([
    [
      'at once',
      (thrown) => {
        throw thrown;
      },
    ],
    ['as a rejection', (thrown) => Promise.reject(thrown)],
    [
      'after an await',
      async (thrown) => {
        await null;
        throw thrown;
      },
    ],
    [
      'by something that only looks like a promise',
      // biome-ignore lint/suspicious/noThenProperty: it is the case.
      (thrown) => ({ then: (_: unknown, reject: (e: unknown) => void) => reject(thrown) }),
    ],
  ])('is the very error that the outcome holds: %s', async (_how, fail) => {
    class OrderError extends RangeError {}
    const error = new OrderError('no such order', { cause: new Error('not found') });
    const outcome = await settle(() => fail(error));
    expect(outcome.state).toBe('failed');
    expect(outcome.error).toBe(error);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['undefined', undefined],
    ['a string', 'only text'],
    ['a function', function thrownFunction() {}],
    ['an object with a function', { call: () => {} }],
  ])('is the cause of the error where it is none itself: %s', async (_what, thrown) => {
    for (const task of [() => Promise.reject(thrown), () => trapOf(thrown)]) {
      const { state, error } = await settle(task);
      expect(state).toBe('failed');
      expect(error).toBeInstanceOf(BackgroundTaskError);
      expect((error as BackgroundTaskError).code).toBe('ERR_BACKGROUND_NOT_AN_ERROR');
      expect(error?.cause).toBe(thrown);
    }
  });

  it.each<[string, () => unknown]>([
    ['a Proxy of an object that throws at every touch', () => new Proxy({}, traps)],
    ['a Proxy of an error that throws at every touch', () => new Proxy(new Error('inside'), traps)],
    ['a Proxy of a function that throws at every touch', () => new Proxy(() => {}, traps)],
    ['a function whose name throws', () => Object.defineProperty(() => {}, 'name', { get: trap })],
    ['a function whose name is a symbol', () => Object.defineProperty(() => {}, 'name', { value: Symbol('name') })],
    ['an error whose message throws', () => Object.defineProperty(new Error('never read'), 'message', { get: trap })],
    ['an error whose cause throws', () => Object.defineProperty(new Error('x'), 'cause', { get: trap })],
    ['an error whose code throws', () => Object.defineProperty(new Error('x'), 'code', { get: trap })],
    ['an error whose stack throws', () => Object.defineProperty(new Error('x'), 'stack', { get: trap })],
  ])('fails the task and nothing else: %s', async (_what, make) => {
    for (const task of [() => trapOf(make()), async () => trapOf(make())]) {
      const outcome = await settle(task);
      expect(outcome.state).toBe('failed');
      expect(outcome.error === undefined).toBe(false);
    }
  });

  function trapOf(thrown: unknown): never {
    throw thrown;
  }
});
