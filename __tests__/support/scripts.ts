/** Programs of the fixtures, each in a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fixture } from './worker-kinds.ts';

const LIMIT = 20_000;

/** Resolves to what the program printed. Rejects if it fails, or has to be ended. */
export async function runScript(name: string, ...args: readonly string[]): Promise<string> {
  return (await runScriptAndListen(name, ...args)).stdout;
}

/** The same with what it wrote to standard error. */
export function runScriptAndListen(
  name: string,
  ...args: readonly string[]
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [fileURLToPath(fixture(name)), ...args], { timeout: LIMIT }, (error, stdout, stderr) => {
      if (error) reject(error);
      else resolve({ stdout, stderr });
    });
  });
}
