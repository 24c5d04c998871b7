/** Which code is this package's own. */
import { here } from '../../package-files.ts';

/** Holds both copies of this package, ESM and CommonJS. */
const OWN_FOLDER = new URL('../', here).href;

export function isOwnCode(url: string): boolean {
  return url.startsWith(OWN_FOLDER);
}
