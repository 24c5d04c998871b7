/** Writes tasks and their results into pg-boss's columns, and reads them back. */
import type { JobWithMetadata } from 'pg-boss';
import type { DurableTask, EngineRetry, StagedTask, TaskEnvelope, WorkResult } from '../../durable/engine.ts';
import { engineError } from '../../errors.ts';
import { isEnvelope, isRetry } from '../task-check.ts';
import { LARGEST_INT, type ResolvedPgBossOptions } from './options.ts';
import type { ClaimRow, ResultRow } from './result-writer.ts';

/** A task whose worker dies is run again, and pg-boss counts that like a retry. This many are allowed beyond the attempts. */
const MOST_CRASHES = 3;

/** Two things that JSON can hold and jsonb can't: U+0000, and half of a surrogate pair. */
const NOT_IN_JSONB = /\\u(?:0000|d[89a-f])/i;

/** The column `data`. An envelope that jsonb can't hold is kept as text. */
interface Data {
  readonly envelope: TaskEnvelope | string;
  readonly retry: EngineRetry;
}

/** The column `output`. Where pg-boss itself has failed a job, it writes a `value` with a `message`. */
interface Output {
  readonly value?: unknown;
  readonly error?: NonNullable<DurableTask['error']>;
}

export interface Found {
  readonly data: unknown;
  readonly output: unknown;
  readonly state: DurableTask['state'];
  readonly attempts: number;
}

/** JSON for a column of type jsonb. */
function forJsonb(value: object): object | string {
  const text = JSON.stringify(value);
  return NOT_IN_JSONB.test(text) ? text : value;
}

/** `undefined` for text that another has written: it must not keep tasks that were fetched together with it from being run. */
function fromJsonb(column: unknown): unknown {
  if (typeof column !== 'string') return column;
  try {
    return JSON.parse(column);
  } catch {
    return undefined;
  }
}

/** The input of the statement `stage`. */
export function stagedJson(tasks: readonly StagedTask[], options: ResolvedPgBossOptions): string {
  return JSON.stringify(
    tasks.map(({ envelope, holdMs, priority, retry }, position) => ({
      position,
      id: envelope.id,
      data: { envelope: forJsonb(envelope), retry } as Data,
      priority,
      hold: holdMs,
      retry_limit: Math.min(retry.attempts - 1 + MOST_CRASHES, LARGEST_INT),
      deletion_seconds: options.keepFailedSeconds,
      heartbeat_seconds: options.heartbeatSeconds,
    })),
  );
}

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` for a job that is no task of this package. */
export function readData(id: string, data: unknown): { readonly envelope: TaskEnvelope; readonly retry: EngineRetry } {
  const { envelope, retry } = (fromJsonb(data) ?? {}) as Partial<Data>;
  const read = fromJsonb(envelope);
  if (!isEnvelope(read, id) || !isRetry(retry)) {
    throw engineError('Expected the data of a job to be a task, got something else.');
  }
  return { envelope: read, retry };
}

/** `null` for a value that is not JSON: it is not kept. */
function valueOutput(value: unknown): object | string | null {
  if (value === undefined) return null;
  try {
    return forJsonb({ value } satisfies Output);
  } catch {
    return null;
  }
}

function errorOutput(error: Error & { readonly code?: unknown }): object | string {
  const { name, message, code, stack } = error;
  return forJsonb({
    error: {
      name: String(name),
      message: String(message),
      ...(typeof code === 'string' && { code }),
      ...(typeof stack === 'string' && { stack }),
    },
  } satisfies Output);
}

export function claimRow({ id, retryCount, startedOn }: JobWithMetadata<unknown>): ClaimRow {
  return { id, retry_count: retryCount, started_on: new Date(startedOn) };
}

/**
 * What is to be written of an attempt.
 *
 * @param retryInMs how long after a failure the next attempt follows; `undefined` for the last attempt.
 */
export function resultRow(
  job: JobWithMetadata<unknown>,
  result: WorkResult,
  retryInMs: number | undefined,
  { keepCompletedSeconds, keepFailedSeconds }: ResolvedPgBossOptions,
): ResultRow {
  const claim = { ...claimRow(job), delay: 0, output: null, deletion_seconds: keepFailedSeconds };
  if (result.kind === 'completed') {
    const output = valueOutput(result.value);
    return { ...claim, kind: 'completed', output, deletion_seconds: keepCompletedSeconds };
  }
  if (result.kind === 'postponed') return { ...claim, kind: 'postponed', delay: result.delayMs };
  const output = errorOutput(result.error);
  if (!result.retry || retryInMs === undefined) return { ...claim, kind: 'failed', output };
  return { ...claim, kind: 'retry', output, delay: retryInMs };
}

export function durableTask(id: string, { data, output, state, attempts }: Found): DurableTask {
  const { value, error } = (fromJsonb(output) ?? {}) as Output;
  return {
    id,
    name: nameIn(id, data),
    state,
    attempts,
    ...(state === 'completed' && value !== undefined && { value }),
    ...(state !== 'completed' && errorIn(value, error)),
  };
}

/** Whether the job is claimed because pg-boss gave up waiting for the worker that had it: only pg-boss writes that down for a job that goes on. */
export function hasLostItsWorker({ retryCount, output }: { retryCount: number; output: unknown }): boolean {
  if (retryCount === 0) return false;
  const { value } = (fromJsonb(output) ?? {}) as Output;
  return value !== undefined;
}

export function nameIn(id: string, data: unknown): string {
  try {
    return readData(id, data).envelope.task;
  } catch {
    return '';
  }
}

function errorIn(value: unknown, error: Output['error']): Pick<DurableTask, 'error'> {
  if (error !== undefined) return { error };
  if (value === undefined) return {};
  const { message = 'no reason given' } = value as { message?: unknown };
  return { error: { name: 'Error', message: `pg-boss gave up waiting for its worker: ${String(message)}` } };
}
