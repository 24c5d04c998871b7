/** How a task is written as a job of BullMQ's, and read from one. */

import type { Job as BullMQJob, JobsOptions } from 'bullmq';
import type { DurableState, DurableTask, EngineRetry, StagedTask, TaskEnvelope } from '../../durable/engine.ts';
import { codeOf } from '../../errors.ts';
import type { ResolvedBullMQOptions } from './options.ts';

/** What a job carries. BullMQ counts attempts; the waits between them are ours. */
export interface JobData {
  readonly envelope: TaskEnvelope;
  readonly retry: EngineRetry;
}

/** What a job returns: by itself `undefined` would be read as `null`. */
export interface JobResult {
  readonly value?: unknown;
}

export type TaskJob = BullMQJob<JobData>;

export interface NewJob {
  readonly name: string;
  readonly data: JobData;
  readonly opts: JobsOptions & { readonly jobId: string };
}

/**
 * BullMQ takes the lowest number first, and whatever has none before all that have one: so that the highest of ours
 * goes first, and the default in the middle, every task has one.
 */
const PRIORITY_AT_ZERO = 101;

/** @param now by the clock of Redis: from there the hold is counted. */
export function newJob(task: StagedTask, now: number, options: ResolvedBullMQOptions): NewJob {
  const { envelope, holdMs, priority, retry } = task;
  return {
    name: envelope.task,
    data: { envelope, retry },
    opts: {
      jobId: envelope.id,
      timestamp: now,
      delay: Math.ceil(holdMs),
      priority: PRIORITY_AT_ZERO - priority,
      attempts: retry.attempts,
      backoff: { type: 'custom' },
      removeOnComplete: options.keepCompleted,
      removeOnFail: options.keepFailed,
      // The last error is what find() tells.
      stackTraceLimit: 1,
    },
  };
}

/** Whether it is one of ours: others may write into the same queue. */
export function isTaskJob(job: BullMQJob): job is TaskJob {
  const data = job.data as Partial<JobData> | null | undefined;
  const { envelope, retry } = data ?? {};
  return typeof envelope === 'object' && envelope?.id === job.id && typeof retry === 'object';
}

/** How often it was started, the times included when its worker died. A task that was postponed was not tried. */
export function attemptsOf(job: BullMQJob): number {
  return job.attemptsMade + job.stalledCounter;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The keys of jobs and those of the queue itself lie side by side: nothing else may be asked for. */
export function isTaskId(id: string): boolean {
  return UUID.test(id);
}

/** Whether the two fit together: a task that ends between two questions is in its last state without what came of it. */
export function isOfOneMoment({ finishedOn }: TaskJob, state: string): boolean {
  return (state === 'completed' || state === 'failed') === (finishedOn !== undefined);
}

/** @param state BullMQ's name for it. */
export function durableTask(job: TaskJob, state: string): DurableTask | undefined {
  const ours = stateOf(job, state);
  if (ours === undefined) return undefined;
  const error = readError(job);
  const result = ours === 'completed' ? (job.returnvalue as JobResult | null) : null;
  return {
    id: job.data.envelope.id,
    name: job.data.envelope.task,
    state: ours,
    attempts: attemptsOf(job) + (ours === 'running' ? 1 : 0),
    ...(result?.value === undefined ? {} : { value: result.value }),
    ...(ours === 'completed' || error === undefined ? {} : { error }),
  };
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

/** BullMQ keeps an error's message and stack; name and code go along as the last line of the stack. */
const FACTS = '\n    with ';

export function stackWithFacts(error: Error): string {
  const { name, message, stack } = error;
  const code = codeOf(error);
  const facts = { name, ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}) };
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
  return { ...facts, message, stack: kept.slice(0, at) };
}

function parsed(text: string): { name: string; code?: string } | undefined {
  try {
    const { name, code } = JSON.parse(text) as Record<string, unknown>;
    return { name: String(name), ...(code === undefined ? {} : { code: String(code) }) };
  } catch {
    return undefined;
  }
}
