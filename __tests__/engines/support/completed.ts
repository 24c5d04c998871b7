import type { WorkResult } from 'express-background-tasks/testing/engine';

/** What a task comes to that returns nothing. */
export const COMPLETED: WorkResult = { kind: 'completed', value: undefined };
