/** The warnings of the real process. Jest hands tests a copy of `process` that no event reaches. */
import { runInThisContext } from 'node:vm';
import { atEnd } from './cleanup.ts';

const realProcess = runInThisContext('process') as NodeJS.Process;

/** Collects warnings from now on. What it returns gives the names of those that came so far. */
export function watchWarnings(): () => Promise<string[]> {
  const names: string[] = [];
  const collect = (warning: Error): void => {
    names.push(warning.name);
  };
  realProcess.on('warning', collect);
  atEnd(() => realProcess.off('warning', collect));
  return async () => {
    // Warnings come on a later tick. One of our own, behind the others, shows that they are in, and that we hear them.
    const mark = `Mark${names.length}`;
    const marked = new Promise<void>((resolve) => {
      const listen = (warning: Error): void => {
        if (warning.name !== mark) return;
        realProcess.off('warning', listen);
        resolve();
      };
      realProcess.on('warning', listen);
    });
    const printer = realProcess.listeners('warning')[0];
    const isPrinter = printer !== undefined && printer !== collect;
    if (isPrinter) realProcess.off('warning', printer);
    realProcess.emitWarning('the mark', mark);
    await marked;
    if (isPrinter) realProcess.prependListener('warning', printer);
    return names.filter((name) => !name.startsWith('Mark'));
  };
}
