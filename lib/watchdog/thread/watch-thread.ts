/** The watchdog's thread: it wakes up again and again, and looks whether the other still does. */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { sharedNow } from '../../clock.ts';
import { Pulse } from '../pulse.ts';
import type { WatchData, WatchOrder, WatchReply } from '../wire.ts';
import { wordingOf } from '../wording.ts';
import { Attendance } from './attendance.ts';
import { isDebuggerAttached } from './debugger-presence.ts';
import { Look } from './look.ts';
import { LookBudget } from './look-budget.ts';

/** A block that goes on is told of after so many milliseconds, and again each time that it has doubled. */
const FIRST_TOLD = 1_000;
const STDERR = 2;
/** Between two looks: so much of the threshold. */
const BETWEEN_LOOKS = 0.25;

const { memory, threshold, tickMs, stacks, schedulingFile } = workerData as WatchData;
let { debuggerPort, isTelling } = workerData as WatchData;
const pulse = new Pulse(memory);
const attendance = new Attendance(schedulingFile, tickMs);
const budget = new LookBudget();

/** The other thread gives no sign of life: kept as long as that lasts. */
interface Silence {
  readonly beats: number;
  readonly look: Look | undefined;
  tellAt: number;
}

let current: Silence | undefined;
let lastLook: Look | undefined;
/** Loaded only where stacks are read: some Nodes are built without an inspector. */
let looking: typeof import('./witness.ts') | undefined;
let canSee = stacks;

function send(reply: WatchReply): void {
  parentPort?.postMessage(reply);
}

function tick(): void {
  if (pulse.isEnding) lastLook?.stop();
  attendance.sample();
  const { beatAt, beats } = pulse;
  const silentMs = sharedNow() - beatAt;
  if (silentMs >= threshold) {
    const blockedMs = silentMs - attendance.missedSince(beatAt);
    if (blockedMs >= threshold && pulse.beats === beats) standsStill(beats, blockedMs);
  }
  setTimeout(tick, tickMs);
}

function standsStill(beats: number, blockedMs: number): void {
  if (current?.beats !== beats) current = { beats, look: beginLook(beats), tellAt: FIRST_TOLD };
  if (blockedMs < current.tellAt) return;
  current.tellAt *= 2;
  if (isTelling) tell(current, blockedMs);
}

function beginLook(beats: number): Look | undefined {
  if (looking === undefined || !mayLook()) return undefined;
  const witnessing = new looking.Witnessing(pulse, threshold * BETWEEN_LOOKS);
  lastLook = new Look(witnessing, beats, lastLook, (why) => stepAside(`stacks cannot be read: ${why}`));
  return lastLook;
}

function mayLook(): boolean {
  if (!canSee || budget.isSpent) return false;
  if (!isDebuggerAttached(debuggerPort)) return true;
  stepAside('a debugger is attached');
  return false;
}

function stepAside(reason: string): void {
  canSee = false;
  send({ kind: 'aside', reason });
}

/** The watched thread cannot speak, and nor can its logger: this goes where the default logger writes. */
function tell({ look }: Silence, ms: number): void {
  const seen = look?.seen;
  const task = seen?.whereabouts.task?.name;
  const who = task === undefined ? 'Something' : `Task ${task}`;
  const message = wordingOf({ who, ms, isOver: false, stack: seen?.stack, isTask: task !== undefined });
  const fields = { task, blockedMs: Math.round(ms), stack: seen?.stack.frames };
  try {
    writeSync(STDERR, `${new Date().toISOString()} warn: ${message} ${JSON.stringify(fields)}\n`);
  } catch {
    // Nobody reads: the report comes when the block is over.
  }
}

async function over(beats: number, beatAt: number): Promise<void> {
  const ended = current?.beats === beats ? current : undefined;
  if (ended !== undefined) current = undefined;
  const testimony = ended?.look?.end();
  attendance.sample();
  const missedMs = attendance.missedSince(beatAt);
  const witness = await testimony;
  const heldMs = attendance.heldBy(ended?.look?.holds ?? []);
  budget.spend(heldMs);
  send({ kind: 'verdict', beats, missedMs, heldMs, witness });
}

parentPort?.on('message', (order: WatchOrder) => {
  if (order.kind === 'over') void over(order.beats, order.beatAt);
  else ({ debuggerPort, isTelling } = order);
});

async function start(): Promise<void> {
  if (stacks) looking = await import('./witness.ts');
  tick();
}
void start();
