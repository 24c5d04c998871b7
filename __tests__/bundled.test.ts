/** Applications that a bundler has packed. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { build, type Format } from 'esbuild';
import { built, filesBelow, makeProject, type ProjectFiles, runNode } from './support/projects.ts';

const TIMEOUT = 60_000;

interface Output {
  readonly format: Format;
  readonly extension: '.mjs' | '.cjs';
  /** How the application says where its tasks are, as its bundle will be. */
  readonly tasks: string;
}

const outputs: readonly Output[] = [
  { format: 'esm', extension: '.mjs', tasks: "new URL('./tasks.js', import.meta.url)" },
  { format: 'cjs', extension: '.cjs', tasks: "join(__dirname, 'tasks.js')" },
];

const sourcesFor = ({ tasks }: Output): ProjectFiles => ({
  'package.json': { name: 'project', private: true, type: 'module' },
  'src/double.js': 'export const double = (value) => 2 * value;',
  'src/tasks.js': "import { double } from './double.js'; export const quadruple = (value) => double(double(value));",
  'src/app.js': `
    import { join } from 'node:path';
    import { backgroundTasks, blocking } from 'express-background-tasks';

    const background = backgroundTasks({ logger: false });
    const handles = [
      background.add(() => 4),
      ...['thread', 'process'].map((executor) => background.add(blocking(${tasks}, { executor }).quadruple, 1)),
    ];
    const outcomes = handles.map(async ({ settled }) => {
      const { value, error } = await settled;
      return value ?? error.message;
    });
    Promise.all(outcomes).then(async (results) => {
      console.log(JSON.stringify(results));
      await background.close();
    });`,
});

describe.each(outputs)('an application that esbuild has packed as $format', (output) => {
  const { format, extension } = output;

  async function outcomesOf(external: string[], { withModules = true } = {}): Promise<unknown[]> {
    const project = makeProject(built, sourcesFor(output), []);
    await build({
      entryPoints: ['src/app.js', 'src/tasks.js'],
      absWorkingDir: project,
      outdir: 'out',
      outExtension: { '.js': extension },
      bundle: true,
      platform: 'node',
      format,
      external,
      logLevel: 'silent',
    });
    if (!withModules) rmSync(join(project, 'node_modules'), { recursive: true });
    const { code, stdout, stderr } = await runNode([join('out', `app${extension}`)], project);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return JSON.parse(stdout) as unknown[];
  }

  it(
    'runs tasks everywhere where the package was left external, and finds what the bundler calls the task module',
    async () => {
      expect(await outcomesOf(['express-background-tasks'])).toEqual([4, 4, 4]);
    },
    TIMEOUT,
  );

  const advice = expect.stringMatching(
    /could not start, since express-background-tasks was bundled.*leave the package external/,
  );

  it(
    'runs tasks on the event loop where the package was packed as well, and says of the others what to do',
    async () => {
      expect(await outcomesOf([])).toEqual([4, advice, advice]);
    },
    TIMEOUT,
  );

  it(
    'does so too where the bundle was deployed alone, without the modules that it was made of',
    async () => {
      expect(await outcomesOf([], { withModules: false })).toEqual([4, advice, advice]);
    },
    TIMEOUT,
  );
});

/** webpack is none of our dependencies. This is what it makes of our modules: it does not know where `require` would start. */
function withoutCreateRequire(directory: string): void {
  for (const path of filesBelow(directory).filter((name) => name.endsWith('.js'))) {
    const file = join(directory, path);
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/(?<![.\w])createRequire\(\w*\)/g, 'undefined'));
  }
}

describe('an application that webpack has packed', () => {
  it(
    'runs and logs, also where the package was packed as well',
    async () => {
      const project = makeProject(
        built,
        {
          'package.json': { name: 'project', private: true, type: 'module' },
          'tasks.js': 'export const quadruple = (value) => 4 * value;',
          'app.js': `
            import { backgroundTasks, blocking } from 'express-background-tasks';

            const background = backgroundTasks();
            const { quadruple } = blocking(new URL('./tasks.js', import.meta.url));
            const fail = () => { throw new Error('as it should'); };
            for (const task of [quadruple, fail]) {
              const { value, error } = await background.add(task, 1).settled;
              console.log(value ?? error.message);
            }
            await background.close();`,
        },
        [],
      );
      withoutCreateRequire(join(project, 'node_modules/express-background-tasks/dist/esm'));
      const { stdout, stderr } = await runNode(['app.js'], project);
      expect({ stdout, stderr }).toEqual({
        stdout: '4\nas it should\n',
        stderr: expect.stringMatching(/^[\w:.-]+ error: Task fail failed: as it should .*\n$/),
      });
    },
    TIMEOUT,
  );
});

describe('a single executable application', () => {
  it(
    'starts no process, since that would be the application again, and says so of each task; threads run',
    async () => {
      const project = makeProject(
        built,
        {
          'pretend.cjs': "require('node:sea').isSea = () => true;",
          'tasks.cjs': 'exports.quadruple = (value) => 4 * value;',
          'app.mjs': `
            import { backgroundTasks, blocking } from 'express-background-tasks';

            const background = backgroundTasks({ logger: false });
            for (const executor of ['thread', 'process', 'process']) {
              const tasks = blocking(new URL('./tasks.cjs', import.meta.url), { executor });
              const { value, error } = await background.add(tasks.quadruple, 1).settled;
              console.log(value ?? error.code + ' ' + error.message);
            }
            await background.close();`,
        },
        [],
      );
      const { stdout } = await runNode(['--require', './pretend.cjs', 'app.mjs'], project);
      const refused = expect.stringMatching(/^ERR_BACKGROUND_PROCESS_START .*got a single executable application/);
      expect(stdout.trim().split('\n')).toEqual(['4', refused, refused]);
    },
    TIMEOUT,
  );
});
