/** Where a module of tasks is: the file that `blocking()` or `durable()` is given. */
import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe } from './describe.ts';
import { BackgroundTaskError } from './errors.ts';

/**
 * The `file:` URL of a module that exists. `caller` is the function that the error names.
 *
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_MODULE`
 */
export function moduleUrl(url: URL | string, caller: string): string {
  const href = hrefOf(url);
  const file = href === undefined ? undefined : existingFile(href);
  if (file !== undefined) return file;
  throw new BackgroundTaskError(
    'ERR_BACKGROUND_MODULE',
    href === undefined
      ? `Expected ${caller} to be given a file URL or an absolute path, got ${describe(url)}: ${adviceFor(url)}.`
      : `Expected ${caller} to be given a module that exists, got ${href}: no such file.`,
  );
}

function adviceFor(url: unknown): string {
  return typeof url === 'number'
    ? "a bundler has put a number in place of require.resolve(); write path.join(__dirname, 'tasks.js')"
    : "write new URL('./tasks.js', import.meta.url), or require.resolve('./tasks')";
}

/** The `file:` URL that is meant, or `undefined` for what names no file. */
function hrefOf(url: unknown): string | undefined {
  if (typeof url === 'string' && isAbsolute(url)) return pathToFileURL(url).href;
  // Another realm's URL (jest has one of its own) is no instance of this one's.
  const text = typeof url === 'string' ? url : String((url as Partial<URL> | null)?.href);
  return text.startsWith('file:') && URL.canParse(text) ? new URL(text).href : undefined;
}

/** What a compiler makes these of, and how some name what they make. */
const COUNTERPARTS: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx', '.mjs', '.cjs'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
};

/** The file itself, or its counterpart where only that is there: the source under tsx, type stripping or jest. */
function existingFile(href: string): string | undefined {
  if (isFile(href)) return href;
  const [, stem, extension] = /^(.*)(\.[cm]?js)$/.exec(href) ?? [];
  return COUNTERPARTS[extension ?? '']?.map((other) => `${stem}${other}`).find(isFile);
}

function isFile(href: string): boolean {
  try {
    return statSync(fileURLToPath(href)).isFile();
  } catch {
    return false;
  }
}
