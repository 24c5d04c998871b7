/** Decides what caused a stall. */
import type { RunningTask } from '../current-task.ts';
import type { BlockCause, BlockedRequest, BlockedStack } from './block.ts';
import type { StackSample } from './stack-sample.ts';
import type { ExplainedStall, SampledWork, Stall, TaskTurn } from './stall.ts';

interface Attribution {
  readonly cause: BlockCause;
  /** The task that blocked, or that left behind what did. */
  readonly task: RunningTask | undefined;
  readonly request: BlockedRequest | undefined;
  readonly stack: BlockedStack | undefined;
}

/** A part of a stall that has one cause. */
export interface BlockPart extends Attribution {
  readonly blockedMs: number;
}

const only = (cause: BlockCause): Attribution => ({ cause, task: undefined, request: undefined, stack: undefined });
export const GARBAGE_COLLECTION: Attribution = only('garbage-collection');
const LOAD: Attribution = only('load');
const UNKNOWN: Attribution = only('other');

/**
 * A single piece of work is blamed if it is known to have lasted at least this share of the threshold. Less than the whole,
 * since it may have begun before it was first seen.
 */
const BLAMED_FROM = 0.5;
/** For work measured from start to end nothing has to be guessed, so more is required. */
const BLAMED_FROM_IF_MEASURED = 0.8;
/** A sample is late that comes so many thresholds after the beginning of what it was taken of. */
const LATE_FROM = 3;

/** At least one. Each long task has a part of its own where several ran without a turn of the loop in between. */
export function partsOf(stall: ExplainedStall, threshold: number): BlockPart[] {
  const { blockedMs, sampledWork, sample, taskTurns } = stall;
  const longTurns = taskTurns
    .map((turn) => ({ turn, workMs: workMsOf(turn, stall, threshold) }))
    .filter(({ workMs }) => workMs >= threshold * BLAMED_FROM_IF_MEASURED);
  const longTurnsMs = longTurns.reduce((sum, { workMs }) => sum + workMs, 0);
  const parts = longTurns.map(({ turn, workMs }): BlockPart => {
    const stack = wasSampledIn(turn, sampledWork) ? sample?.stack : undefined;
    return { cause: 'task', task: turn.task, request: undefined, stack, blockedMs: Math.min(workMs, blockedMs) };
  });
  const restMs = blockedMs - longTurnsMs;
  const isSampleOfRest = !longTurns.some(({ turn }) => wasSampledIn(turn, sampledWork));
  if (restMs >= threshold && isSampleOfRest) parts.push({ ...attribute(stall, threshold), blockedMs: restMs });
  return parts.length > 0 ? parts : [{ ...attribute(stall, threshold), blockedMs }];
}

/** For how long code ran in a task's turn, at least. */
function workMsOf(turn: TaskTurn, stall: ExplainedStall, threshold: number): number {
  const from = Math.max(turn.from, stall.from);
  const workMs = workMsBetween(from, turn.to, stall, threshold);
  // Sampling that led to no sample took time as well. Among many turns, all of it may have been in this one.
  return isManyPieces(stall, threshold) && stall.sample === undefined ? workMs - threshold : workMs;
}

function workMsBetween(from: number, to: number, stall: ExplainedStall, threshold: number): number {
  const { activeMs, descheduledMs, overheadMs, collectedMs } = stall;
  // When the time was lost is not known. Few pieces of work lost it in proportion; of many, one may have lost it all.
  const lostShare = isManyPieces(stall, threshold) ? 1 : Math.min(1, (to - from) / activeMs);
  return to - from - collectedMs(from, to) - (descheduledMs + overheadMs) * lostShare;
}

/** Whether the pieces of work were too short, on average, to be blamed. */
function isManyPieces({ workChanges, activeMs }: Stall, threshold: number): boolean {
  return workChanges * threshold * BLAMED_FROM > activeMs;
}

function wasSampledIn({ task, from, to }: TaskTurn, work: SampledWork | undefined): boolean {
  return work !== undefined && work.task === task && from <= work.sampledAt && work.sampledAt <= to;
}

function attribute(stall: ExplainedStall, threshold: number): Attribution {
  const { sample, sampledWork } = stall;
  const wasOneCall = isOneNativeCall(stall, threshold);
  if (isManyPieces(stall, threshold) && sample?.isSameLater !== true && !wasOneCall) return LOAD;
  if (sample === undefined || sampledWork === undefined) return UNKNOWN;
  if (!wasOneCall && !isOneLongPiece(sample, sampledWork, stall, threshold)) return LOAD;
  if (!wasOneCall && mayBeLastOfMany(sample, sampledWork, stall, threshold)) return UNKNOWN;
  const { stack, request } = sample;
  const { task } = sampledWork;
  if (task !== undefined) return { cause: 'task', task, request, stack };
  return { cause: request === undefined ? 'other' : 'request', task, request, stack };
}

/** In any other code than one native call the thread would have paused when it was asked to. */
function isOneNativeCall(stall: ExplainedStall, threshold: number): boolean {
  const { sample, sampledWork, descheduledMs, collectedMs } = stall;
  if (sample === undefined || sampledWork === undefined) return false;
  const { askedAt, unresponsiveMs } = sample;
  const nativeMs = unresponsiveMs - collectedMs(askedAt, sampledWork.sampledAt) - descheduledMs;
  return nativeMs >= threshold * BLAMED_FROM;
}

/** Many short pieces at once keep the loop from turning for as long as a long one, and none of them is to blame. */
function isOneLongPiece(
  { isSameLater }: StackSample,
  { since, endedAt }: SampledWork,
  stall: ExplainedStall,
  threshold: number,
): boolean {
  const workMs = workMsBetween(Math.max(since, stall.from), endedAt, stall, threshold);
  return workMs >= threshold * BLAMED_FROM && isSameLater !== false;
}

/**
 * Where neither tasks nor requests are at work, nothing tells one piece of code from the next, as with timers, but a second
 * sample. A late one may have been taken of the last piece, with no time left for another.
 */
function mayBeLastOfMany(
  { isSameLater, request }: StackSample,
  { task, since, sampledAt }: SampledWork,
  { from }: Stall,
  threshold: number,
): boolean {
  const isKnownWork = task !== undefined || request !== undefined;
  const isLate = sampledAt - Math.max(since, from) > threshold * LATE_FROM;
  return !isKnownWork && isSameLater === undefined && isLate;
}
