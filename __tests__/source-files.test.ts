import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { circlesIn, importGraphOf, sourceOf } from './support/import-graph.ts';
import { root } from './support/projects.ts';

const lib = join(root, 'lib');
const graph = importGraphOf(lib);

/** The files that name a package in quotes, however they import it. */
function filesThatImport(packageName: string): string[] {
  const quoted = new RegExp(`['"]${packageName}(?:/[^'"]*)?['"]`);
  return [...graph.keys()].filter((file) => quoted.test(sourceOf(join(lib, file))));
}

describe('the source files', () => {
  it('import nothing that is not there', () => {
    const missing = [...graph].flatMap(([file, imports]) =>
      imports.filter((imported) => !graph.has(imported)).map((imported) => `${file} imports ${imported}`),
    );
    expect(missing).toEqual([]);
    expect(graph.get('index.ts')).toContain('middleware.ts');
  });

  it('import each other in no circle', () => {
    expect(circlesIn(graph)).toEqual([]);
  });

  it('know each dependency in one file only', () => {
    expect(filesThatImport('on-finished')).toEqual(['response-end.ts']);
    expect(filesThatImport('piscina')).toEqual(['executors/piscina-thread.ts']);
    expect(filesThatImport('winston')).toEqual(['log.ts']);
  });
});

describe('the walk over the imports', () => {
  it('finds a circle wherever it begins, and a file that imports itself', () => {
    const circle = new Map([
      ['a', ['b', 'c']],
      ['b', ['d']],
      ['c', ['d']],
      ['d', ['c']],
      ['e', ['e']],
    ]);
    expect(circlesIn(circle)).toEqual(['d -> c -> d', 'e -> e']);
  });

  it('finds none where files merely share what they import', () => {
    const diamond = new Map([
      ['a', ['b', 'c']],
      ['b', ['d']],
      ['c', ['d']],
      ['d', []],
    ]);
    expect(circlesIn(diamond)).toEqual([]);
  });
});
