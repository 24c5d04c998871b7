/** The warnings of the real process. Jest hands tests a copy of `process` that no event reaches. */
import { runInThisContext } from 'node:vm';
import { atEnd } from './cleanup.ts';

const realProcess = runInThisContext('process') as NodeJS.Process;

/**
 * Collects warnings, instead of printing them, until the test ends. What it returns gives their codes so far, or names where they have none.
 */
export function watchWarnings(): () => Promise<string[]> {
  const names: string[] = [];
  let onMark: (() => void) | undefined;
  const collect = ({ name, code }: Error & { code?: string }): void => {
    if (name === 'Mark') onMark?.();
    else names.push(code ?? name);
  };
  const printers = realProcess.listeners('warning');
  realProcess.removeAllListeners('warning');
  realProcess.on('warning', collect);
  atEnd(() => {
    realProcess.off('warning', collect);
    for (const printer of printers) realProcess.on('warning', printer);
  });
  return async () => {
    // Warnings come on a later tick. One of our own, behind the others, shows that they have arrived, and that the listener works.
    const marked = new Promise<void>((resolve) => {
      onMark = resolve;
    });
    realProcess.emitWarning('all others are in', 'Mark');
    await marked;
    return [...names];
  };
}
