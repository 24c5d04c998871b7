import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
const TIMEOUT = 30_000;

/** The compiler's output for the tests, types.test-d.ts among them; empty if there is no error. */
async function compile(): Promise<string> {
  try {
    return (await promisify(execFile)(process.execPath, [tsc, '-p', '__tests__'], { cwd: root })).stdout;
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { stdout?: string; stderr?: string };
    return stdout || stderr || message;
  }
}

describe('the public types', () => {
  it(
    'accept what they should and refuse what they should',
    async () => {
      expect(await compile()).toBe('');
    },
    TIMEOUT,
  );
});
