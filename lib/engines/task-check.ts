/** Whether what a broker holds is a task of this package. Others may write there, by mistake or on purpose. */
import type { EngineRetry, TaskEnvelope } from '../durable/engine.ts';

/** In characters. A name is in log lines and errors. */
const LONGEST_NAME = 1_000;

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const DELAY_FIELDS = ['delay', 'factor', 'maxDelay', 'jitter'] as const satisfies (keyof EngineRetry)[];

/**
 * Nothing else may be looked up. In Redis a job's key stands beside keys of the queue itself, such as `meta`; Postgres
 * would refuse a whole statement for one malformed UUID.
 */
export function isTaskId(id: string): boolean {
  return ID.test(id);
}

/** @param id the broker's own for it. The version, the arguments and the timeout are checked by who runs it. */
export function isEnvelope(envelope: unknown, id: string | undefined): envelope is TaskEnvelope {
  const { id: given, task } = (envelope ?? {}) as Partial<TaskEnvelope>;
  return given !== undefined && given === id && isTaskName(task);
}

export function isTaskName(name: unknown): name is string {
  return typeof name === 'string' && name.length <= LONGEST_NAME;
}

export function isRetry(retry: unknown): retry is EngineRetry {
  return isRetryDelay(retry) && Number.isFinite((retry as Partial<EngineRetry>).attempts);
}

/** How long to wait between attempts, but not how many there are. */
export function isRetryDelay(retry: unknown): retry is Omit<EngineRetry, 'attempts'> {
  const given = (retry ?? {}) as Partial<EngineRetry>;
  return DELAY_FIELDS.every((name) => Number.isFinite(given[name]));
}
