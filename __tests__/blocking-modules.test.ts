/** The modules of blocking tasks: how they are named, what is found in them, and what happens if they do not load. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { blocking } from 'express-background-tasks';
import { atEnd } from './support/cleanup.ts';
import { fixture } from './support/fixtures.ts';
import { codeOf, thrownBy } from './support/outcomes.ts';
import { expectNoProcessFaults } from './support/process-faults.ts';
import { shareBackground } from './support/shared-background.ts';
import { workerKinds } from './support/worker-kinds.ts';

expectNoProcessFaults();

interface Adding {
  add(a: number, b: number): number;
}

describe.each(workerKinds)('a module for $plural', (kind) => {
  const { executor, tasks } = kind;
  // A faulty module is no reason to retry: with this delay of a minute, a retry would make the test fail.
  const shared = shareBackground({ ...kind.options(1), retry: { attempts: 3, delay: 60_000 } });

  it.each([
    ['as CommonJS whose exports Node can name before it runs', 'thread-named.cjs', 'add', 7],
    ['as CommonJS whose exports stand on an object that is built as it runs', 'module-dynamic.cjs', 'multiply', 12],
  ])('may be written %s', async (_how, file, name, value) => {
    const task = kind.refer<Record<string, (a: number, b: number) => number>>(file)[name];
    const outcome = await shared().add(task as never, ...([3, 4] as never[])).settled;
    expect(outcome).toMatchObject({ state: 'completed', value });
  });

  it('may have a default export, compiled to CommonJS', async () => {
    const compiled = kind.refer<Record<'default' | 'named', (text: string) => string>>('module-compiled.cjs');
    const background = shared();
    expect(await background.add(compiled.named, 'x').settled).toMatchObject({ value: 'named of x' });
    expect(await background.add(compiled.default, 'x').settled).toMatchObject({ value: 'default of x' });
  });

  it('may be an object whose functions call each other by `this`', async () => {
    const { quadruple } = kind.refer<{ quadruple(x: number): Promise<number> }>('module-as-whole.cjs');
    const background = shared();
    for (const x of [3, 5]) expect(await background.add(quadruple, x).settled).toMatchObject({ value: 4 * x });
  });

  it('may be named by a path and a file: string as well as by a URL', async () => {
    const background = shared();
    const url = fixture('thread-named.cjs');
    const require = createRequire(import.meta.url);
    for (const named of [url, url.href, fileURLToPath(url), require.resolve('./fixtures/thread-named.cjs')]) {
      const { add } = blocking<Adding>(named, { executor });
      expect(await background.add(add, 1, 1).settled).toMatchObject({ value: 2 });
    }
  });

  it.each([
    ['module-throws.mjs', 'no configuration', { name: 'TypeError', code: 'E_NO_CONFIGURATION' }],
    ['module-throws.cjs', 'no configuration here', { name: 'Error' }],
    ['module-missing-import.mjs', 'there-is-no-such-file.mjs', { code: 'ERR_MODULE_NOT_FOUND' }],
  ])(
    `that fails at import fails its tasks, with the cause, and the ${executor} lives: %s`,
    async (file, message, cause) => {
      const broken = kind.refer<{ work(): string }>(file);
      const background = shared();
      const before = await kind.placeOf(background);
      const outcome = await background.add(broken.work).settled;

      expect(outcome).toMatchObject({ state: 'failed', attempts: 1 });
      expect(codeOf(outcome)).toBe('ERR_BACKGROUND_MODULE');
      expect(outcome.error?.message).toContain(message);
      expect(outcome.error?.cause).toMatchObject(cause);
      // The broken module again, with a sound one before and after it.
      expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
      expect(codeOf(await background.add(broken.work).settled)).toBe('ERR_BACKGROUND_MODULE');
      expect((await background.add(tasks.add, 3, 4).settled).value).toBe(7);
      expect(await kind.placeOf(background)).toEqual(before);
    },
  );

  it('a CommonJS module that throws at import runs no more than once', async () => {
    const { globalOf } = kind.refer<typeof import('./fixtures/place-tasks.mjs')>('place-tasks.mjs');
    const broken = kind.refer<{ work(): string }>('module-counts-and-throws.cjs');
    const background = shared();
    for (let count = 1; count <= 2; count += 1) {
      expect(codeOf(await background.add(broken.work).settled)).toBe('ERR_BACKGROUND_MODULE');
      expect((await background.add(globalOf, 'runsOfThrowing').settled).value).toBe(1);
    }
  });

  it(`a module whose file is gone when its tasks come fails them, with its name, and the ${executor} lives`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'background-tasks-module-'));
    atEnd(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'gone.cjs');
    copyFileSync(fixture('thread-named.cjs'), file);
    const { add } = blocking<Adding>(file, { executor });
    rmSync(file);
    const background = shared();
    const before = await kind.placeOf(background);
    for (let count = 1; count <= 3; count += 1) {
      const outcome = await background.add(add, count, count).settled;
      expect(outcome).toMatchObject({ state: 'failed', attempts: 1, error: { code: 'ERR_BACKGROUND_MODULE' } });
      expect(outcome.error?.message).toContain('gone.cjs');
    }
    expect((await background.add(tasks.add, 1, 2).settled).value).toBe(3);
    expect(await kind.placeOf(background)).toEqual(before);
  });

  it('a module that fails at import fails each of a hundred tasks', async () => {
    const broken = kind.refer<{ work(): string }>('module-throws.mjs');
    const background = shared();
    const { failed } = background.stats().outcomes;
    for (let count = 0; count < 100; count += 1) background.add(broken.work);
    await background.idle();
    expect(background.stats().outcomes.failed).toBe(failed + 100);
  });

  it.each([
    ['blocking-tasks.mjs', /whereAmI.*hold|hold.*whereAmI/],
    ['thread-named.cjs', /\badd\b/],
    ['module-dynamic.cjs', /multiply.*divide/],
  ])(`without the requested export names those it has, and the ${executor} lives: %s`, async (file, names) => {
    const { missing } = kind.refer<{ missing(): void }>(file);
    const background = shared();
    const before = await kind.placeOf(background);
    const outcome = await background.add(missing).settled;
    expect(outcome).toMatchObject({ state: 'failed', attempts: 1 });
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
    expect(outcome.error?.message).toContain('missing');
    expect(outcome.error?.message).toMatch(names);
    expect(await kind.placeOf(background)).toEqual(before);
  });

  it('a module whose export is no function fails the task with the same code', async () => {
    const { total } = kind.refer<{ total(): void }>('thread-named.cjs');
    const outcome = await shared().add(total).settled;
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
    expect(outcome.error?.message).toContain('number');
  });

  it('a function of a function that is exported as a whole is found, and named among those that there are', async () => {
    const { other, missing } = kind.refer<Record<'other' | 'missing', (x: number) => number>>('module-as-function.cjs');
    expect((await shared().add(other, 4).settled).value).toBe(8);
    const { error } = await shared().add(missing, 4).settled;
    expect(error?.message).toMatch(/Its functions are: default, other\.$/);
  });

  it('a generator is no task: none of its code would run', async () => {
    const { double, steps } = kind.refer<Record<'double' | 'steps', (x: number) => unknown>>('module-as-whole.cjs');
    const background = shared();
    // Requested first, and again when its module is loaded already.
    for (let count = 1; count <= 2; count += 1) {
      const outcome = await background.add(steps, 1).settled;
      expect(outcome).toMatchObject({ state: 'failed', error: { code: 'ERR_BACKGROUND_EXPORT' } });
      expect(outcome.error?.message).toMatch(
        /function steps, got a generator.* Its functions are: double, quadruple\.$/,
      );
      expect(await background.add(double, 2).settled).toMatchObject({ value: 4 });
    }
  });

  it('a module that inherits a name from Object has no such export', async () => {
    const dynamic = kind.refer<{ hasOwnProperty(): void }>('module-dynamic.cjs');
    const outcome = await shared().add(dynamic.hasOwnProperty).settled;
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
  });

  it('a module whose export is a getter that throws fails each of its tasks with that, and names the other exports', async () => {
    const { lazily, missing, present } =
      kind.refer<Record<'lazily' | 'missing' | 'present', () => string>>('module-getters.cjs');
    const background = shared();
    for (let count = 1; count <= 3; count += 1) {
      const outcome = await background.with({ timeout: 5_000, retry: { attempts: 1 } }).add(lazily).settled;
      expect(outcome).toMatchObject({ state: 'failed', error: { code: 'E_NO_CODEC' } });
    }
    expect(await background.add(present).settled).toMatchObject({ state: 'completed', value: 'present' });
    const outcome = await background.add(missing).settled;
    expect(codeOf(outcome)).toBe('ERR_BACKGROUND_EXPORT');
    expect(outcome.error?.message).toContain('Its functions are: present.');
  });

  describe('in TypeScript', () => {
    // What `--import tsx` by itself does to threads, see threads.test.ts.
    const loader = executor === 'process' ? 'tsx' : fixture('preload-tsx.mjs').href;
    const withLoader = shareBackground(kind.options(1, { execArgv: ['--import', loader] }));
    const { greet } = kind.refer<{ greet(name: string): { text: string } }>('module-typed.ts');
    const { width } = kind.refer<{ width(size: string): number }>('module-enums.ts');
    const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript);

    it('runs with a loader, syntax beyond types included', async () => {
      expect(await withLoader().add(width, 'Large').settled).toMatchObject({ state: 'completed', value: 1_000 });
    });

    it('runs where what is preloaded teaches require() alone to read it, and says of a module what is wrong with it', async () => {
      const background = kind.open(1, { execArgv: ['--require', 'tsx/cjs'] });
      expect(await background.add(width, 'Small').settled).toMatchObject({ state: 'completed', value: 100 });
      const { broken } = kind.refer<{ broken(): void }>('module-broken.ts');
      const { error } = await background.add(broken).settled;
      expect(error).toMatchObject({ code: 'ERR_BACKGROUND_MODULE' });
      expect(error?.message).toContain('no-such-module');
    });

    it('says what an ES module could not import, not that it cannot be required', async () => {
      const { work } = kind.refer<{ work(): void }>('module-awaits-missing.ts');
      const { error } = await withLoader().add(work).settled;
      expect(error).toMatchObject({ code: 'ERR_BACKGROUND_MODULE' });
      expect(error?.message).toContain('no-such-module');
    });

    it('is found by a .js URL if only the .ts file exists', async () => {
      const compiled = kind.refer<{ greet(name: string): { text: string } }>('module-typed.js');
      expect(await withLoader().add(compiled.greet, 'Ada').settled).toMatchObject({ value: { text: 'hello Ada' } });
    });

    it('runs without a loader where Node can, and says what is missing where it cannot', async () => {
      const outcome = await shared().add(greet, 'Ada').settled;
      if (runsTypeScript) {
        expect(outcome).toMatchObject({ state: 'completed', value: { text: 'hello Ada' } });
      } else {
        expect(outcome.state).toBe('failed');
        expect(codeOf(outcome)).toBe('ERR_BACKGROUND_MODULE');
        expect(outcome.error?.message).toMatch(/TypeScript.*loader/);
        expect(outcome.error?.cause).toMatchObject({ code: 'ERR_UNKNOWN_FILE_EXTENSION' });
      }
    });
  });
});

describe('blocking()', () => {
  it.each<[string, unknown]>([
    ['that is not there', fixture('there-is-no-such-module.mjs')],
    ['that is a directory', fixture('')],
    ['on the web', new URL('http://localhost/tasks.mjs')],
    ['named by an http string', 'https://localhost/tasks.mjs'],
    ['named by a relative path', './fixtures/blocking-tasks.mjs'],
    ['named by a bare name', 'lodash'],
    ['named by a broken file URL', 'file://'],
    ['on another host', 'file://host.invalid/tasks.mjs'],
    ['in a data URL', 'data:text/javascript,export const work = 1'],
    ['named by nothing', undefined],
    ['named by null', null],
    ['named by the empty string', ''],
    ['named by a number', 7],
    ['named by an object', {}],
  ])('refuses a module %s', (_what, url) => {
    expect(thrownBy(() => blocking(url as URL)).code).toBe('ERR_BACKGROUND_MODULE');
  });
});
