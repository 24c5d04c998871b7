/** What an engine may do instead of what it is asked for. */
import type { Fault } from './durable-app.ts';

export const FAILED_CALL: Fault = () => Promise.reject(new Error('connection refused'));
export const NO_ANSWER: Fault = () => new Promise(() => {});
