/** Which code is this package's own. */
import { here } from '../../here.ts';

/** Of both copies of this package. */
const OWN_FOLDER = new URL('../', here).href;

export function isOwnCode(url: string): boolean {
  return url.startsWith(OWN_FOLDER);
}
