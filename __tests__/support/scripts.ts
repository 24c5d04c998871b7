/** Programs of the fixtures, each in a process of its own. */
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { atEnd } from './cleanup.ts';
import { fixture } from './fixtures.ts';

const LIMIT = 20_000;

/** Resolves to what the program printed. Rejects if it fails, or has to be ended. */
export async function runScript(name: string, ...args: readonly string[]): Promise<string> {
  return (await run([], name, args)).stdout;
}

/** The same, with options for Node. */
export async function runScriptWith(
  nodeOptions: readonly string[],
  name: string,
  ...args: readonly string[]
): Promise<string> {
  return (await run(nodeOptions, name, args)).stdout;
}

/** The same with what it wrote to standard error. */
export function runScriptAndListen(name: string, ...args: readonly string[]): Promise<Printed> {
  return run([], name, args);
}

/** The same as {@link runScript}, in a process that may have so many file descriptors. */
export async function runScriptWithDescriptors(most: number, name: string): Promise<string> {
  const limited = `ulimit -n ${most} && exec "$0" "$@"`;
  return (await runProgram('sh', ['-c', limited, process.execPath, fileURLToPath(fixture(name))])).stdout;
}

interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

function run(nodeOptions: readonly string[], name: string, args: readonly string[]): Promise<Printed> {
  return runProgram(process.execPath, [...nodeOptions, fileURLToPath(fixture(name)), ...args]);
}

function runProgram(file: string, args: readonly string[]): Promise<Printed> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { timeout: LIMIT }, (error, stdout, stderr) => {
      if (error) reject(error);
      else resolve({ stdout, stderr });
    });
  });
}

/** Resolves to what a program that does not end by itself has written to standard error before the line `last`. */
export async function linesOfScript(name: string, last: string): Promise<string[]> {
  const child = spawn(process.execPath, [fileURLToPath(fixture(name))], { stdio: ['ignore', 'ignore', 'pipe'] });
  atEnd(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    if (line === last) return lines;
    lines.push(line);
  }
  throw new Error(`${name} has ended: ${lines.join('\n')}`);
}
