/** Throws while it is loaded. */
export const anything = () => 'never';

throw Object.assign(new Error('no configuration'), { code: 'E_CONFIGURATION' });
