/** Where an accepted task can be. */
import type { OutcomeState } from './outcome.ts';

/** Where it can be before it settles. */
export type PendingState = 'waiting' | 'running' | 'retrying';

/** Where it can be at all. */
export type TaskState = PendingState | OutcomeState;
