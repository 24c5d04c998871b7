/** From what runs to what was written: source maps, and paths as people write them. */
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Counted from 1, as editors do. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `line` and `column` count from 0, as the inspector does. */
export function writtenPosition(url: string, sourceMapUrl: string | undefined, line: number, column: number): Position {
  const mapped = sourceMapUrl ? lookUp(url, sourceMapUrl, line, column) : undefined;
  return mapped ?? { file: readablePath(url), line: line + 1, column: column + 1 };
}

function lookUp(url: string, sourceMapUrl: string, line: number, column: number): Position | undefined {
  try {
    const entry = new SourceMap(readMap(url, sourceMapUrl)).findEntry(line, column);
    if (!('originalSource' in entry) || entry.originalSource === undefined) return undefined;
    const { originalSource, originalLine, originalColumn } = entry;
    return {
      file: readablePath(new URL(originalSource, url).href),
      line: originalLine + 1,
      column: originalColumn + 1,
    };
  } catch {
    // A map that is not there, or is none: what runs has lines as well.
    return undefined;
  }
}

const DATA = /^data:application\/json[^,]*?(;base64)?,(.*)$/s;

function readMap(url: string, sourceMapUrl: string): SourceMapPayload {
  const data = DATA.exec(sourceMapUrl);
  if (data === null) return JSON.parse(readFileSync(new URL(sourceMapUrl, url), 'utf8'));
  const [, isBase64, text = ''] = data;
  return JSON.parse(isBase64 ? Buffer.from(text, 'base64').toString() : decodeURIComponent(text));
}

function readablePath(url: string): string {
  if (!url.startsWith('file:')) return url;
  const path = fileURLToPath(url);
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere;
}
