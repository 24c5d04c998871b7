/** The watchdog's thread: it wakes up again and again, and looks whether the other still does. */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { sharedNow } from '../../clock.ts';
import type { Witness } from '../block.ts';
import { Pulse } from '../pulse.ts';
import type { WatchData, WatchOrder, WatchReply } from '../wire.ts';
import { wordingOf } from '../wording.ts';
import { Attendance } from './attendance.ts';
import { DebuggedError, isDebuggerAttached } from './debugger-presence.ts';
import type { Witnessing } from './witness.ts';

/** A block that goes on is told of after so many milliseconds, and again each time that it has doubled. */
const FIRST_TOLD = 1_000;
const STDERR = 2;
/** Between two looks: so much of the threshold. */
const BETWEEN_LOOKS = 0.25;

const { memory, threshold, tickMs, stacks, schedulingFile } = workerData as WatchData;
const pulse = new Pulse(memory);
const attendance = new Attendance(schedulingFile, tickMs);

/** A stretch in which the loop stands still, as long as it lasts. */
interface Standstill {
  readonly beats: number;
  readonly witnessing: Witnessing | undefined;
  testimony: Promise<Witness | undefined>;
  seen: Witness | undefined;
  tellAt: number;
}

let current: Standstill | undefined;
/** Loaded only where stacks are read: some Nodes are built without an inspector. */
let looking: typeof import('./witness.ts') | undefined;
let canSee = stacks;
let debuggerPort = 0;
let isTelling = false;

function send(reply: WatchReply): void {
  parentPort?.postMessage(reply);
}

function tick(): void {
  if (pulse.isEnding) current?.witnessing?.stop();
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
  if (current?.beats !== beats) current = begin(beats);
  if (blockedMs < current.tellAt) return;
  current.tellAt *= 2;
  if (isTelling) tell(current, blockedMs);
}

function begin(beats: number): Standstill {
  const witnessing = looking && mayLook() ? new looking.Witnessing(pulse, threshold * BETWEEN_LOOKS) : undefined;
  const standstill: Standstill = {
    beats,
    witnessing,
    testimony: Promise.resolve(undefined),
    seen: undefined,
    tellAt: FIRST_TOLD,
  };
  if (witnessing !== undefined) {
    const onFirst = (witness: Witness): void => {
      standstill.seen = witness;
    };
    standstill.testimony = witnessing.testify(beats, onFirst).catch((thrown: Error) => {
      if (!(thrown instanceof DebuggedError)) stepAside(`stacks cannot be read: ${thrown.message}`);
      return undefined;
    });
  }
  return standstill;
}

function mayLook(): boolean {
  if (!canSee) return false;
  if (!isDebuggerAttached(debuggerPort)) return true;
  stepAside('a debugger is attached');
  return false;
}

function stepAside(reason: string): void {
  canSee = false;
  send({ kind: 'aside', reason });
}

/** The watched thread cannot speak, and nor can its logger: this goes where the default logger writes. */
function tell({ seen }: Standstill, ms: number): void {
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
  ended?.witnessing?.end();
  attendance.sample();
  const missedMs = attendance.missedSince(beatAt);
  send({ kind: 'verdict', beats, missedMs, witness: await ended?.testimony });
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
