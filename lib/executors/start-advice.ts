/** What to look at where no worker can start. */
import { existsSync } from 'node:fs';

/** @param entry the file of this package that the workers begin with. */
export function startAdvice(entry: URL, option: 'pool' | 'processes'): string {
  return existsSync(entry)
    ? `look at the options of \`${option}\``
    : `since express-background-tasks was bundled, and ${entry.href} is not there: have the bundler leave the package external`;
}
