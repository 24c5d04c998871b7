/** From positions in the code that runs to those in the code that was written, by its source map. */
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `line` and `column` count from 1, as in editors. */
interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `line` and `column` are the inspector's, which count from 0. */
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
    // The map is missing or broken: the position in the code that runs is used instead.
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
