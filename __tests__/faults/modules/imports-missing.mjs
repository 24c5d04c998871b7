/** Imports what is not there. */
import './not-there.mjs';

export const anything = () => 'never';
