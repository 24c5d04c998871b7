/** Whose fault a block was, from what is known of it. */
import type { RunningTask } from '../current-task.ts';
import type { BlockCause, BlockedRequest, BlockedStack, Witness } from './block.ts';

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
  readonly turnAt: number;
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
  /** How much of it the machine took, and how much the looks. */
  readonly missedMs: number;
  readonly heldMs: number;
  /** How much of a part of it the garbage collector took. */
  readonly collectedMs: (from: number, to: number) => number;
  readonly witness: Witness | undefined;
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
  const { blockedMs, sight, witness, stretches } = evidence;
  const measured = stretches
    .map((stretch) => ({ stretch, workMs: workWithin(stretch, evidence, threshold) }))
    .filter(({ workMs }) => workMs >= threshold * MEASURED_PROOF);
  const measuredMs = measured.reduce((sum, { workMs }) => sum + workMs, 0);
  const shares = measured.map(({ stretch, workMs }): Share => {
    const stack = isWithin(stretch, sight) ? witness?.stack : undefined;
    return { cause: 'task', task: stretch.task, request: undefined, stack, blockedMs: Math.min(workMs, blockedMs) };
  });
  const restMs = blockedMs - measuredMs;
  const isRestSeen = !measured.some(({ stretch }) => isWithin(stretch, sight));
  if (restMs >= threshold && isRestSeen) shares.push({ ...causeOf(evidence, threshold), blockedMs: restMs });
  return shares.length > 0 ? shares : [{ ...causeOf(evidence, threshold), blockedMs }];
}

/** How long code worked in a measured stretch, at least. */
function workWithin(stretch: Stretch, evidence: Evidence, threshold: number): number {
  const { standstill, witness } = evidence;
  const from = Math.max(stretch.from, standstill.from);
  const workMs = workBetween(from, stretch.to, evidence, threshold);
  // A look that came to nothing has held the thread up as well, and which of many it held is not known.
  return isOfMany(standstill, threshold) && witness === undefined ? workMs - threshold : workMs;
}

function workBetween(from: number, to: number, evidence: Evidence, threshold: number): number {
  const { standstill, missedMs, heldMs, collectedMs } = evidence;
  // Nobody knows where time was lost: of few pieces of work, each has its part of it; of many, it may be all in one.
  const part = isOfMany(standstill, threshold) ? 1 : Math.min(1, (to - from) / standstill.activeMs);
  return to - from - collectedMs(from, to) - (missedMs + heldMs) * part;
}

/** Whether the pieces of work in it were too short, on the average, to be to blame. */
function isOfMany({ pieces, activeMs }: Standstill, threshold: number): boolean {
  return pieces * threshold * PROOF > activeMs;
}

function isWithin({ task, from, to }: Stretch, sight: Sight | undefined): boolean {
  return sight !== undefined && sight.task === task && from <= sight.at && sight.at <= to;
}

function causeOf(evidence: Evidence, threshold: number): Finding {
  const { standstill, witness, sight } = evidence;
  const wasInOneCall = isOneCall(evidence, threshold);
  if (isOfMany(standstill, threshold) && witness?.isSame !== true && !wasInOneCall) return LOAD;
  if (witness === undefined || sight === undefined) return UNSEEN;
  if (!wasInOneCall && !isProved(witness, sight, evidence, threshold)) return LOAD;
  const { stack, request } = witness;
  const { task } = sight;
  if (task !== undefined) return { cause: 'task', task, request, stack };
  return { cause: request === undefined ? 'other' : 'request', task, request, stack };
}

/** That it was in one call of native code: whatever else it did, it would have heard that it is to stop. */
function isOneCall({ witness, sight, missedMs, collectedMs }: Evidence, threshold: number): boolean {
  if (witness === undefined || sight === undefined) return false;
  const { askedAt, unheardMs } = witness;
  return unheardMs - collectedMs(askedAt, sight.at) - missedMs >= threshold * PROOF;
}

/** That it was one piece of work. Many short ones that come at once keep the loop as long, and none of them is to blame. */
function isProved({ isSame }: Witness, { turnAt, endedAt }: Sight, evidence: Evidence, threshold: number): boolean {
  const from = Math.max(turnAt, evidence.standstill.from);
  const isLong = workBetween(from, endedAt, evidence, threshold) >= threshold * PROOF;
  return isLong && isSame !== false;
}
