/** vitest puts a function of its own in the place of import(). Without vitest among our dependencies, so does this. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { built, filesBelow, makeProject, runNode } from './support/projects.ts';

const TIMEOUT = 60_000;

/** A mock of vitest's throws where it was made without an export that is asked for. */
const files = {
  'package.json': { name: 'project', private: true, type: 'module' },
  'tasks.js': 'export const double = (value) => 2 * value;',
  'app.js': `
    import { backgroundTasks, blocking } from 'express-background-tasks';

    const strict = {
      get(mock, name) {
        if (name === 'then' || name in mock) return mock[name];
        throw new Error('No "' + name + '" export is defined on the mock.');
      },
    };
    globalThis.importOfRunner = async () => new Proxy({ double: (value) => value + ' was mocked' }, strict);

    const background = backgroundTasks({ logger: false, watchdog: false, mode: 'inline' });
    const tasks = blocking(new URL('./tasks.js', import.meta.url));
    for (const task of [tasks.double, tasks.double, tasks.triple]) {
      const { value, error } = await background.add(task, 1).settled;
      console.log(value ?? error.code + ' ' + error.message);
    }`,
};

function replaceImports(directory: string): void {
  for (const path of filesBelow(directory).filter((name) => name.endsWith('.js'))) {
    const file = join(directory, path);
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('await import(', 'await globalThis.importOfRunner('));
  }
}

it(
  'a task module may be mocked by vitest with those exports alone that the test needs',
  async () => {
    const project = makeProject(built, files, []);
    replaceImports(join(project, 'node_modules/express-background-tasks/dist/esm'));
    const { stdout, stderr } = await runNode(['app.js'], project);
    expect({ lines: stdout.trim().split('\n'), stderr }).toEqual({
      lines: [
        '1 was mocked',
        '1 was mocked',
        expect.stringMatching(
          /^ERR_BACKGROUND_EXPORT .*a function triple, got undefined\. Its functions are: double\./,
        ),
      ],
      stderr: '',
    });
  },
  TIMEOUT,
);

/** Of no version of Node is it known that it loads these: it stands for any TypeScript on Node 20. */
const typed = {
  'package.json': { name: 'project', private: true, type: 'module' },
  'tasks.tsx': 'export const double = (value: number) => 2 * value;',
  'app.js': `
    import { backgroundTasks, blocking } from 'express-background-tasks';

    if (process.argv[2] === 'in vitest') process.env.VITEST = 'true';
    const tasks = blocking(new URL('./tasks.tsx', import.meta.url));
    for (const mode of ['inline', 'run']) {
      const background = backgroundTasks({ logger: false, watchdog: false, mode });
      const { error } = await background.add(tasks.double, 1).settled;
      console.log(error.message);
      await background.close();
    }`,
};

it.each([
  ['vitest', 'how to set it up', 'in vitest', 'docs/testing.md'],
  ['Node', 'how to give it a loader', 'in Node', 'docs/task-modules.md'],
])(
  'a task module in TypeScript that could not be loaded tells a user of %s where it is said %s',
  async (_runner, _what, where, page) => {
    const project = makeProject(built, typed, []);
    const { stdout } = await runNode(['app.js', where], project);
    const advice = expect.stringMatching(new RegExp(`cannot load TypeScript by itself: .*, see ${page}\\.$`));
    expect(stdout.trim().split('\n')).toEqual([advice, advice]);
  },
  TIMEOUT,
);
