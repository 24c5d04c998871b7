/** Projects of users in temporary directories, with the packed package in them, and programs run there. */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from '@jest/globals';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const ours = join(root, 'node_modules');

/** A program that has not ended by then counts as hanging. */
const TIMEOUT = 60_000;

const directories: string[] = [];

afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function makeDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `background-tasks-${name}-`));
  directories.push(directory);
  return directory;
}

/** What a program printed, and the code that it exited with. */
export interface Ended {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. It sees nothing of the jest that runs this test. */
export function run(file: string, args: readonly string[], cwd: string): Promise<Ended> {
  const { NODE_OPTIONS, NODE_ENV, JEST_WORKER_ID, ...env } = process.env;
  return new Promise((resolve) => {
    // npm and the like are scripts, which Windows starts through a shell only.
    const shell = process.platform === 'win32' && file !== process.execPath;
    execFile(file, [...args], { cwd, env, shell, timeout: TIMEOUT, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? 'none'), stdout, stderr });
    });
  });
}

/** The same for a script, by the Node that runs this test. */
export function runNode(args: readonly string[], cwd: string): Promise<Ended> {
  return run(process.execPath, args, cwd);
}

/** The command of a package among our development dependencies, as a script for {@link runNode}. */
export function commandOf(packageName: string, command = packageName): string {
  const { bin } = readPackage(join(ours, packageName));
  const script = typeof bin === 'object' ? bin[command] : bin;
  if (script === undefined) throw new Error(`${packageName} has no command ${command}`);
  return join(ours, packageName, script);
}

interface PackageJson {
  readonly name: string;
  readonly bin?: string | Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function readPackage(directory: string): PackageJson {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as PackageJson;
}

/** The package as a project can have it installed. */
export interface Installable {
  readonly directory: string;
  /** What is installed of that: files, or directories with all that is in them. */
  readonly paths: readonly string[];
}

/** What was built, for tests that do not depend on what is published: packing takes npm two seconds and more. */
export const built: Installable = { directory: root, paths: ['package.json', 'dist'] };

/** The package as it was unpacked; its paths are those in the tarball. */
export interface Packed extends Installable {
  /** The tarball. */
  readonly file: string;
}

/** Packs the package as it would be published, from what was built. */
export async function pack(): Promise<Packed> {
  const destination = makeDirectory('packed');
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', destination];
  const { code, stdout, stderr } = await run('npm', args, root);
  if (code !== 0) throw new Error(`npm pack exited with ${code}: ${stderr}`);
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  const file = join(destination, filename);
  await unpack(file, destination);
  return { file, paths: files.map(({ path }) => path), directory: join(destination, 'package') };
}

async function unpack(file: string, directory: string): Promise<void> {
  const { code, stderr } = await run('tar', ['-xzf', file, '-C', directory], directory);
  if (code !== 0) throw new Error(`tar exited with ${code}: ${stderr}`);
}

export interface ProjectFiles {
  readonly [path: string]: string | object;
}

/**
 * Writes a project, and installs the package in it without the network: what the package says that it depends on, and
 * what the project does, is linked to our own copies. What neither of them names cannot be found from there.
 */
export function makeProject({ directory, paths }: Installable, files: ProjectFiles, needs: readonly string[]): string {
  const project = writeProject(files);
  const modules = join(project, 'node_modules');
  const installed = readPackage(directory);
  for (const path of paths) cpSync(join(directory, path), join(modules, installed.name, path), { recursive: true });
  const dependencies = Object.keys({ ...installed.dependencies, ...installed.optionalDependencies });
  // Of the peers, all of them optional, each of these projects has one.
  for (const name of new Set([...dependencies, 'express', ...needs])) link(name, modules);
  linkCommands(installed, modules);
  return project;
}

function writeProject(files: ProjectFiles): string {
  const project = makeDirectory('project');
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return project;
}

/**
 * Writes a project, and has npm install the tarball in it, from npm's cache, which has what `npm ci` fetched for us: in the
 * versions of our lockfile. Where that cache has been emptied since, the project is made as above, and a line says so.
 */
export async function installProject(packed: Packed, files: ProjectFiles, needs: readonly string[]): Promise<string> {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const exact = ['express', ...needs].map((name) => `${name}@${lock.packages[`node_modules/${name}`]?.version}`);
  const { '': _ours, ...packages } = lock.packages;
  const project = writeProject({ ...files, 'package-lock.json': { ...lock, packages } });
  const flags = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { code, stderr } = await run('npm', ['install', ...flags, packed.file, ...exact], project);
  if (code === 0) return project;
  if (!stderr.includes('ENOTCACHED')) throw new Error(`npm install exited with ${code}: ${stderr}`);
  process.stderr.write("npm's cache is empty: the package is linked instead of installed.\n");
  return makeProject(packed, files, needs);
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string }>>;
}

function link(name: string, modules: string): void {
  mkdirSync(dirname(join(modules, name)), { recursive: true });
  symlinkSync(join(ours, name), join(modules, name), 'junction');
}

/** As npm does it, but for Windows, where commands are scripts of npm's own. */
function linkCommands({ name, bin }: PackageJson, modules: string): void {
  if (process.platform === 'win32') return;
  mkdirSync(join(modules, '.bin'));
  for (const [command, script] of Object.entries(typeof bin === 'object' ? bin : {})) {
    const path = join(modules, name, script);
    chmodSync(path, 0o755);
    symlinkSync(path, join(modules, '.bin', command));
  }
}

/** The files below a directory, as relative paths with forward slashes. */
export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(directory.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort();
}
