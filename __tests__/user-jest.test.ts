import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { built, commandOf, makeProject, type ProjectFiles, runNode } from './support/projects.ts';

const TIMEOUT = 90_000;

/** Linked into the project as if its user had installed them. */
const installed = [
  ...['jest', '@jest/globals', 'expect', '@swc/core', '@swc/jest', 'tsx', 'express', 'supertest'],
  ...['node', 'express', 'express-serve-static-core', 'serve-static', 'supertest'].map((name) => `@types/${name}`),
];

const files: ProjectFiles = {
  'package.json': {
    name: 'project',
    private: true,
    jest: { testTimeout: 30_000, transform: { '\\.ts$': '@swc/jest' } },
  },
  'tsconfig.json': {
    compilerOptions: {
      module: 'nodenext',
      target: 'es2022',
      strict: true,
      esModuleInterop: true,
      skipLibCheck: true,
      types: ['node'],
      noEmit: true,
    },
  },

  // For a Node that strips no types. On Node 20, `--import tsx` alone does nothing in a thread.
  'typescript-in-threads.mjs': `
    import { register as registerRequire } from 'tsx/cjs/api';
    import { register as registerImport } from 'tsx/esm/api';
    registerRequire();
    registerImport();`,

  'src/tasks/images.ts': `
    import { currentTask } from 'express-background-tasks';
    import { threadId } from 'node:worker_threads';

    export async function thumbnail(path: string, width: number): Promise<string> {
      return \`\${path}@\${width} by \${currentTask()?.name}\`;
    }
    export function whereAmI(): number {
      return threadId;
    }
    export function crash(): never {
      throw new RangeError('no image');
    }
    export function list(paths: readonly string[], visit?: () => void): number {
      visit?.();
      return paths.length;
    }
    export const WIDTH: number = 200;

    export interface Picture {
      taken: Date;
      sizes: Map<string, Set<number>>;
      format: RegExp;
      samples: Float64Array;
      pixels: Buffer;
      damage: Error;
    }
    /** What it takes a picture's parts for, and the picture. */
    export function look(picture: Picture): [boolean[], Picture] {
      const { taken, sizes, format, samples, pixels, damage } = picture;
      const isSo = [
        taken instanceof Date,
        sizes instanceof Map && sizes.get('small') instanceof Set,
        format instanceof RegExp,
        samples instanceof Float64Array,
        pixels instanceof Uint8Array,
        damage instanceof TypeError && damage.cause instanceof RangeError,
        picture instanceof Object,
      ];
      return [isSo, picture];
    }`,

  'src/app.ts': `
    import express from 'express';
    import { backgroundTasks, blocking, type BackgroundTasks } from 'express-background-tasks';

    export const images = blocking<typeof import('./tasks/images')>(require.resolve('./tasks/images'));

    export async function sendWelcome(address: string): Promise<string> {
      return \`Welcome, \${address}\`;
    }

    const stripsTypes = Boolean((process.features as { typescript?: unknown }).typescript);
    const execArgv = stripsTypes ? [] : ['--import', './typescript-in-threads.mjs'];

    export function createApp(): { app: express.Express; background: BackgroundTasks } {
      const background = backgroundTasks({ logger: false, pool: { execArgv } });
      const app = express();
      app.use(background);
      app.post('/images', (req, res) => {
        res.locals.backgroundTasks.add(sendWelcome, 'ada@example.com');
        res.locals.backgroundTasks.add(images.thumbnail, 'photo.png', 200);
        res.status(202).end();
      });
      return { app, background };
    }`,

  'src/matchers.ts': `
    import { expect } from '@jest/globals';
    import { taskMatchers, type TaskMatchers } from 'express-background-tasks/testing';

    declare module 'expect' {
      interface Matchers<R> extends TaskMatchers<R> {}
    }
    expect.extend(taskMatchers);`,

  'src/app.test.ts': `
    import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
    import type { BackgroundTasks } from 'express-background-tasks';
    import { watchTasks } from 'express-background-tasks/testing';
    import type { Express } from 'express';
    import request from 'supertest';
    import { createApp, images, sendWelcome } from './app';
    import './matchers';

    let app: Express;
    let background: BackgroundTasks;
    beforeEach(() => {
      ({ app, background } = createApp());
    });
    afterEach(async () => {
      await background.close();
    });

    describe('inline', () => {
      it('runs the tasks of a request in this thread', async () => {
        const tasks = watchTasks(background);
        await request(app).post('/images').expect(202);
        await tasks.idle();
        expect(tasks).toHaveCompleted(sendWelcome, 'ada@example.com');
        expect(tasks).toHaveCompleted(images.thumbnail, expect.any(String), 200);
        expect(await tasks.outcomesOf(images.thumbnail)).toMatchObject([{ value: 'photo.png@200 by thumbnail' }]);
        background.add(images.whereAmI);
        expect(await tasks.outcomesOf(images.whereAmI)).toMatchObject([{ value: 0 }]);
        expect(background.stats().executors.thread.threads).toBe(0);
      });

      it('reports a failure with the error of the task', async () => {
        const tasks = watchTasks(background);
        background.add(images.crash);
        await tasks.idle();
        expect(tasks).toHaveFailed(images.crash);
        const [outcome] = await tasks.outcomesOf(images.crash);
        expect(outcome?.error).toBeInstanceOf(RangeError);
      });

      it.each(['inline', 'run'] as const)('gives and returns instances of the classes that a test knows: %s', async (mode) => {
        watchTasks(background, mode);
        const picture = () => ({
          taken: new Date(0),
          sizes: new Map([['small', new Set([16, 32])]]),
          format: /png|jpe?g/i,
          samples: new Float64Array(3),
          pixels: Buffer.alloc(5),
          damage: new TypeError('torn', { cause: new RangeError('too wide') }),
        });
        const { value } = await background.add(images.look, picture()).settled;
        expect(value).toStrictEqual([Array(7).fill(true), { ...picture(), pixels: new Uint8Array(5) }]);
      });

      it('refuses what a thread would refuse', () => {
        watchTasks(background);
        expect(() => background.add(images.list, ['photo.png'], () => {})).toThrow(
          expect.objectContaining({ code: 'ERR_BACKGROUND_NOT_CLONEABLE' }),
        );
      });
    });

    describe('record', () => {
      it('runs nothing', async () => {
        const tasks = watchTasks(background, 'record');
        await request(app).post('/images').expect(202);
        await tasks.idle();
        expect(tasks).toHaveSkipped(images.thumbnail, 'photo.png', 200);
        expect(tasks).not.toHaveCompleted(sendWelcome);
      });
    });

    describe('run', () => {
      it('runs task modules in TypeScript in threads', async () => {
        const tasks = watchTasks(background, 'run');
        await request(app).post('/images').expect(202);
        await tasks.idle();
        expect(await tasks.outcomesOf(images.thumbnail)).toMatchObject([{ value: 'photo.png@200 by thumbnail' }]);
        const { value } = await background.add(images.whereAmI).settled;
        expect(value).toBeGreaterThan(0);
      });
    });`,

  'src/mocked.test.ts': `
    import { expect, it } from '@jest/globals';
    import { watchTasks } from 'express-background-tasks/testing';
    import request from 'supertest';
    import { createApp, images } from './app';
    import { thumbnail } from './tasks/images';
    import './matchers';

    // Of jest's own globals: an imported \`jest\` is not hoisted by swc.
    declare const jest: typeof import('@jest/globals').jest;
    jest.mock('./tasks/images', () => ({ thumbnail: jest.fn(async () => 'mocked') }));

    it('reaches a mocked task module', async () => {
      const { app, background } = createApp();
      const tasks = watchTasks(background);
      await request(app).post('/images').expect(202);
      await tasks.idle();
      expect(thumbnail).toHaveBeenCalledWith('photo.png', 200);
      expect(await tasks.outcomesOf(images.thumbnail)).toMatchObject([{ state: 'completed', value: 'mocked' }]);
      await background.close();
    });`,
};

interface JestReport {
  readonly numPassedTests: number;
  readonly numTotalTests: number;
  /** One for each file; the message is empty where nothing failed. */
  readonly testResults: readonly { readonly message: string }[];
}

describe("a user's project with jest and TypeScript", () => {
  let project: string;

  beforeAll(() => {
    project = makeProject(built, files, installed);
  });

  it(
    'compiles, the matchers included',
    async () => {
      const { code, stdout } = await runNode([commandOf('typescript', 'tsc'), '-p', '.'], project);
      expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    },
    TIMEOUT,
  );

  it(
    'tests its tasks inline, recorded, in threads and mocked, and ends by itself',
    async () => {
      const report = join(project, 'report.json');
      const args = ['--detectOpenHandles', '--no-cache', '--json', '--outputFile', report];
      const { code, stderr } = await runNode([commandOf('jest'), ...args], project);
      const { numPassedTests, numTotalTests, testResults } = readReport(report);
      expect(testResults.map(({ message }) => message).join('')).toBe('');
      expect({ numPassedTests, numTotalTests, code, stderr }).toEqual({
        numPassedTests: 8,
        numTotalTests: 8,
        code: 0,
        stderr: expect.not.stringMatching(/did not exit|open handle/),
      });
    },
    TIMEOUT,
  );
});

function readReport(file: string): JestReport {
  return JSON.parse(readFileSync(file, 'utf8')) as JestReport;
}
