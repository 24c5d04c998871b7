/** Which source file imports which: the relative imports of a directory of TypeScript files. */
import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { filesBelow } from './projects.ts';

export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** Imports, re-exports and `import type` alike; comments do not count. */
export function importGraphOf(directory: string): ImportGraph {
  const files = filesBelow(directory).filter((file) => file.endsWith('.ts'));
  return new Map(files.map((file) => [file, importsOf(file, sourceOf(join(directory, file)))]));
}

/** The text of a source file without its comments. */
export function sourceOf(file: string): string {
  return readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
}

function importsOf(file: string, source: string): string[] {
  const specifiers = [...source.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.[^'"]*)['"]/g)];
  return specifiers.map(([, specifier]) => posix.join(posix.dirname(file), specifier as string));
}

/** Every circle that a walk over the graph meets, as `a -> b -> a`. */
export function circlesIn(graph: ImportGraph): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start !== -1) circles.push([...path.slice(start), file].join(' -> '));
    if (start !== -1 || done.has(file)) return;
    for (const imported of graph.get(file) ?? []) walk(imported, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) walk(file, []);
  return circles;
}
