/** Whose fault a block was, from what is known of it. */
import type { RunningTask } from '../current-task.ts';
import type { BlockCause, BlockedRequest, BlockedStack } from './block.ts';
import type { StackSample } from './stack-sample.ts';

/** A stretch in which the loop stood still, by the shared clock. */
export interface Standstill {
  /** Which beat was the last before. */
  readonly beats: number;
  readonly from: number;
  readonly to: number;
  /** For how long the loop had work in the meantime. */
  readonly activeMs: number;
  /** How many pieces of work began or ended in the meantime, of those that are known. */
  readonly pieces: number;
}

/** What the watched thread said of itself while it was stopped, and when the work that it was in came to its end. */
export interface Sight {
  readonly beats: number;
  readonly task: RunningTask | undefined;
  readonly at: number;
  /** When that work began, or the one before it ended. */
  readonly since: number;
  endedAt: number;
  /** Whether the thread has turned to other work since. */
  isLeft: boolean;
}

/** A task's synchronous work at its start, as it was measured. */
export interface Stretch {
  readonly task: RunningTask;
  readonly from: number;
  readonly to: number;
}

/** All that was seen of a block. */
export interface Evidence {
  readonly standstill: Standstill;
  /** For how long code is to blame for it. */
  readonly blockedMs: number;
  /** How much of it the machine took, and how much sampling. */
  readonly descheduledMs: number;
  readonly overheadMs: number;
  /** How much of a part of it the garbage collector took. */
  readonly collectedMs: (from: number, to: number) => number;
  readonly sample: StackSample | undefined;
  readonly sight: Sight | undefined;
  /** In their order. */
  readonly stretches: readonly Stretch[];
}

export interface Finding {
  readonly cause: BlockCause;
  /** What the async context said: the task that was running, or had left behind what was. */
  readonly task: RunningTask | undefined;
  readonly request: BlockedRequest | undefined;
  readonly stack: BlockedStack | undefined;
}

/** A part of a block, and its length. */
export interface Share extends Finding {
  readonly blockedMs: number;
}

const nobody = (cause: BlockCause): Finding => ({ cause, task: undefined, request: undefined, stack: undefined });
export const COLLECTION: Finding = nobody('garbage-collection');
const LOAD: Finding = nobody('load');
const UNSEEN: Finding = nobody('other');

/** What is known to have been one piece of work for so much of the threshold is taken for what blocked. It may have begun before it was seen. */
const PROOF = 0.5;
/** Of a stretch that was measured from its beginning to its end, no more is to be guessed. */
const MEASURED_PROOF = 0.8;

/** At least one. Several tasks that follow each other without a turn of the loop have a share each. */
export function sharesOf(evidence: Evidence, threshold: number): Share[] {
  const { blockedMs, sight, sample, stretches } = evidence;
  const measured = stretches
    .map((stretch) => ({ stretch, workMs: workWithin(stretch, evidence, threshold) }))
    .filter(({ workMs }) => workMs >= threshold * MEASURED_PROOF);
  const measuredMs = measured.reduce((sum, { workMs }) => sum + workMs, 0);
  const shares = measured.map(({ stretch, workMs }): Share => {
    const stack = isWithin(stretch, sight) ? sample?.stack : undefined;
    return { cause: 'task', task: stretch.task, request: undefined, stack, blockedMs: Math.min(workMs, blockedMs) };
  });
  const restMs = blockedMs - measuredMs;
  const isRestSeen = !measured.some(({ stretch }) => isWithin(stretch, sight));
  if (restMs >= threshold && isRestSeen) shares.push({ ...causeOf(evidence, threshold), blockedMs: restMs });
  return shares.length > 0 ? shares : [{ ...causeOf(evidence, threshold), blockedMs }];
}

/** How long code worked in a measured stretch, at least. */
function workWithin(stretch: Stretch, evidence: Evidence, threshold: number): number {
  const { standstill, sample } = evidence;
  const from = Math.max(stretch.from, standstill.from);
  const workMs = workBetween(from, stretch.to, evidence, threshold);
  // Sampling that came to nothing has held the thread up as well, and which of many turns is not known.
  return isOfMany(standstill, threshold) && sample === undefined ? workMs - threshold : workMs;
}

function workBetween(from: number, to: number, evidence: Evidence, threshold: number): number {
  const { standstill, descheduledMs, overheadMs, collectedMs } = evidence;
  // Nobody knows where time was lost: of few pieces of work, each has its part of it; of many, it may be all in one.
  const part = isOfMany(standstill, threshold) ? 1 : Math.min(1, (to - from) / standstill.activeMs);
  return to - from - collectedMs(from, to) - (descheduledMs + overheadMs) * part;
}

/** Whether the pieces of work in it were too short, on the average, to be to blame. */
function isOfMany({ pieces, activeMs }: Standstill, threshold: number): boolean {
  return pieces * threshold * PROOF > activeMs;
}

function isWithin({ task, from, to }: Stretch, sight: Sight | undefined): boolean {
  return sight !== undefined && sight.task === task && from <= sight.at && sight.at <= to;
}

function causeOf(evidence: Evidence, threshold: number): Finding {
  const { standstill, sample, sight } = evidence;
  const wasInOneCall = isOneCall(evidence, threshold);
  if (isOfMany(standstill, threshold) && sample?.isSameLater !== true && !wasInOneCall) return LOAD;
  if (sample === undefined || sight === undefined) return UNSEEN;
  if (!wasInOneCall && !isProved(sample, sight, evidence, threshold)) return LOAD;
  const { stack, request } = sample;
  const { task } = sight;
  if (task !== undefined) return { cause: 'task', task, request, stack };
  return { cause: request === undefined ? 'other' : 'request', task, request, stack };
}

/** Whether it was in one call of native code: in any other code the thread would have paused when it was asked. */
function isOneCall({ sample, sight, descheduledMs, collectedMs }: Evidence, threshold: number): boolean {
  if (sample === undefined || sight === undefined) return false;
  const { askedAt, unresponsiveMs } = sample;
  return unresponsiveMs - collectedMs(askedAt, sight.at) - descheduledMs >= threshold * PROOF;
}

/** That it was one piece of work. Many short ones that come at once keep the loop as long, and none of them is to blame. */
function isProved(
  { isSameLater }: StackSample,
  { since, endedAt }: Sight,
  evidence: Evidence,
  threshold: number,
): boolean {
  const from = Math.max(since, evidence.standstill.from);
  const isLong = workBetween(from, endedAt, evidence, threshold) >= threshold * PROOF;
  return isLong && isSameLater !== false;
}
