/** Writes a task as a job of BullMQ, and reads it back. */

import type { Job as BullMQJob, JobJson, JobsOptions } from 'bullmq';
import type { DurableState, DurableTask, EngineRetry, StagedTask, TaskEnvelope } from '../../durable/engine.ts';
import { codeOf } from '../../errors.ts';
import { isPlainObject } from '../../options/rules.ts';
import { isRetryDelay, isTaskId, isTaskName } from '../task-check.ts';
import type { ResolvedBullMQOptions } from './options.ts';

type KeptInEnvelope = Exclude<keyof TaskEnvelope, 'id' | 'task'>;

/**
 * The data of a job. BullMQ keeps its id and name, and counts its attempts; how long to wait between them is computed here,
 * from `retry`. All of it is written and read several times for each task, so nothing is kept twice.
 */
export interface JobData {
  readonly envelope: Pick<TaskEnvelope, KeptInEnvelope>;
  readonly retry: Omit<EngineRetry, 'attempts'>;
}

/** The return value of a job. In an object, since BullMQ would read a bare `undefined` as `null`. */
export interface JobResult {
  readonly value?: unknown;
}

export type TaskJob = BullMQJob<JobData>;

/** What the backend of BullMQ reads of a new job. */
type NewJob = Pick<JobJson, 'id' | 'name' | 'data' | 'timestamp'> & { readonly opts: JobsOptions };

/**
 * BullMQ takes jobs without a priority first, and then the lowest number first. So every job gets a priority, and ours,
 * where the highest goes first, is subtracted from this.
 */
const PRIORITY_AT_ZERO = 101;

/** @param now by the clock of Redis. The hold is counted from there. */
export function newJob(task: StagedTask, now: number, options: ResolvedBullMQOptions): JobJson {
  const { id, task: name, v, args, context, timeout } = task.envelope;
  const { attempts, delay, factor, maxDelay, jitter } = task.retry;
  // JSON leaves out what is undefined.
  const data = { envelope: { v, args, context, timeout }, retry: { delay, factor, maxDelay, jitter } };
  const job: NewJob = {
    id,
    name,
    data: JSON.stringify(data satisfies { envelope: Record<KeptInEnvelope, unknown>; retry: JobData['retry'] }),
    timestamp: now,
    opts: {
      delay: Math.ceil(task.holdMs),
      priority: PRIORITY_AT_ZERO - task.priority,
      attempts,
      removeOnComplete: options.keepCompleted,
      removeOnFail: options.keepFailed,
    },
  };
  return job as JobJson;
}

/** For a job that is about to fail. Kept with every job, these would make all of them dearer. */
export function setFailureOptions({ opts }: TaskJob): void {
  opts.backoff = { type: 'custom' };
  // find() tells the last error only.
  opts.stackTraceLimit = 1;
}

export function retryOf({ data, opts }: TaskJob): EngineRetry {
  const { delay, factor, maxDelay, jitter } = data.retry;
  // Without any, BullMQ has set 0.
  return { attempts: opts.attempts as number, delay, factor, maxDelay, jitter };
}

/** The task as its worker is given it. On Node 20 it takes ten times as long to spread what was kept and add to it. */
export function envelopeOf({ id, name, data }: TaskJob): TaskEnvelope {
  const { v, args, context, timeout } = data.envelope;
  const envelope = { v, id: id as string, task: name, args, context };
  return timeout === undefined ? envelope : Object.assign(envelope, { timeout });
}

/** Whether the job is a task of this package: others may write into the same queue. */
export function isTaskJob(job: BullMQJob): job is TaskJob {
  const { envelope, retry } = (job.data ?? {}) as Partial<JobData>;
  const isCounted = Number.isFinite(job.opts.attempts);
  return (
    isTaskId(String(job.id)) && isTaskName(job.name) && isPlainObject(envelope) && isRetryDelay(retry) && isCounted
  );
}

/**
 * How many attempts have ended, those included whose worker died. A postponement is not an attempt. Where BullMQ has given
 * the job up, it is one too many: see {@link wasGivenUp}.
 */
export function attemptsOf(job: BullMQJob): number {
  return job.attemptsMade + job.stalledCounter;
}

/** Whether job and state were read at one moment. A task that ends between the two reads has its last state, but no result. */
export function isOfOneMoment({ finishedOn }: TaskJob, state: string): boolean {
  return (state === 'completed' || state === 'failed') === (finishedOn !== undefined);
}

/** @param state as BullMQ names it. */
export function durableTask(job: TaskJob, state: string): DurableTask | undefined {
  const ours = stateOf(job, state);
  if (ours === undefined) return undefined;
  const error = readError(job);
  const result = ours === 'completed' ? (job.returnvalue as JobResult | null) : null;
  return {
    id: job.id as string,
    name: job.name,
    state: ours,
    attempts: attemptsOf(job) + (ours === 'running' ? 1 : 0) - (ours === 'failed' && wasGivenUp(job) ? 1 : 0),
    ...(result?.value === undefined ? {} : { value: result.value }),
    ...(ours === 'completed' || error === undefined ? {} : { error }),
  };
}

/** Whether BullMQ has failed the job by itself, for having lost its worker too often: it counts that as an attempt. */
function wasGivenUp({ stacktrace }: TaskJob): boolean {
  return !stacktrace?.at(-1)?.includes(FACTS);
}

function stateOf(job: TaskJob, state: string): DurableState | undefined {
  switch (state) {
    case 'delayed':
      if (attemptsOf(job) > 0) return 'retrying';
      return job.processedOn === undefined ? 'held' : 'waiting';
    case 'waiting':
    case 'prioritized':
      return 'waiting';
    case 'active':
      return 'running';
    case 'completed':
    case 'failed':
      return state;
    default:
      return undefined;
  }
}

type TaskError = NonNullable<DurableTask['error']>;

/**
 * BullMQ keeps an error's message and stack only. Its name and code are added as the last line of the stack, and so is an
 * empty message, which BullMQ reads as none.
 */
const FACTS = '\n    with ';

export function stackWithFacts(error: Error): string {
  const { name, message, stack } = error;
  const code = codeOf(error);
  const facts = {
    name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    ...(message === '' ? { message } : {}),
  };
  return `${stack ?? `${name}: ${message}`}${FACTS}${JSON.stringify(facts)}`;
}

function readError(job: TaskJob): TaskError | undefined {
  const { failedReason: message, stacktrace } = job;
  const kept = stacktrace?.at(-1);
  if (typeof message !== 'string') return undefined;
  if (kept === undefined) return { name: 'Error', message };
  const at = kept.lastIndexOf(FACTS);
  const facts = at === -1 ? undefined : parsed(kept.slice(at + FACTS.length));
  if (facts === undefined) return { name: 'Error', message, stack: kept };
  return { message, ...facts, stack: kept.slice(0, at) };
}

function parsed(text: string): { name: string; code?: string; message?: string } | undefined {
  try {
    const { name, code, message } = JSON.parse(text) as Record<string, unknown>;
    return {
      name: String(name),
      ...(code === undefined ? {} : { code: String(code) }),
      ...(message === undefined ? {} : { message: String(message) }),
    };
  } catch {
    return undefined;
  }
}
