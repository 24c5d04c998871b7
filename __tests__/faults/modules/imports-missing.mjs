/** Imports a module that does not exist. */
import './not-there.mjs';

export const anything = () => 'never';
