/** The watchdog's thread: it wakes up again and again, and looks whether the other still does. */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { sharedNow } from '../../clock.ts';
import { Heartbeat } from '../heartbeat.ts';
import { SamplingGate } from '../sampling-gate.ts';
import type { WatchData, WatchOrder, WatchReply } from '../wire.ts';
import { wordingOf } from '../wording.ts';
import { isDebuggerAttached } from './debugger-presence.ts';
import { SamplingBudget } from './sampling-budget.ts';
import { SamplingRun } from './sampling-run.ts';
import { SchedulingHistory } from './scheduling-history.ts';

/** A block that goes on is told of after so many milliseconds, and again each time that it has doubled. */
const FIRST_TOLD = 1_000;
const STDERR = 2;
/** The time between the two samples of a block, as a part of the threshold. */
const BETWEEN_SAMPLES = 0.25;

const { memory, threshold, tickMs, stacks, schedulingFile } = workerData as WatchData;
let { debuggerPort, isTelling } = workerData as WatchData;
const heartbeat = new Heartbeat(memory.heartbeat);
const gate = new SamplingGate(memory.gate);
const scheduling = new SchedulingHistory(schedulingFile, tickMs);
const budget = new SamplingBudget();

/** The other thread gives no sign of life: kept as long as that lasts. */
interface Silence {
  readonly beats: number;
  readonly run: SamplingRun | undefined;
  tellAt: number;
}

let current: Silence | undefined;
let lastRun: SamplingRun | undefined;
/** Loaded only where stacks are read: some Nodes are built without an inspector. */
let sampling: typeof import('./stack-sampler.ts') | undefined;
let canSample = stacks;

function send(reply: WatchReply): void {
  parentPort?.postMessage(reply);
}

function tick(): void {
  if (gate.isClosed) lastRun?.stop();
  scheduling.record();
  const { beatAt, beats } = heartbeat;
  const silentMs = sharedNow() - beatAt;
  if (silentMs >= threshold) {
    const blockedMs = silentMs - scheduling.descheduledSince(beatAt);
    if (blockedMs >= threshold && heartbeat.beats === beats) standsStill(beats, blockedMs);
  }
  setTimeout(tick, tickMs);
}

function standsStill(beats: number, blockedMs: number): void {
  if (current?.beats !== beats) current = { beats, run: startSampling(beats), tellAt: FIRST_TOLD };
  if (blockedMs < current.tellAt) return;
  current.tellAt *= 2;
  if (isTelling) tell(current, blockedMs);
}

function startSampling(beats: number): SamplingRun | undefined {
  if (sampling === undefined || !maySample()) return undefined;
  const sampler = new sampling.StackSampler(gate, threshold * BETWEEN_SAMPLES);
  lastRun = new SamplingRun(sampler, beats, lastRun, (why) => stepAside(`stacks cannot be read: ${why}`));
  return lastRun;
}

function maySample(): boolean {
  if (!canSample || budget.isSpent) return false;
  if (!isDebuggerAttached(debuggerPort)) return true;
  stepAside('a debugger is attached');
  return false;
}

function stepAside(reason: string): void {
  canSample = false;
  send({ kind: 'aside', reason });
}

/** The watched thread cannot speak, and nor can its logger: this goes where the default logger writes. */
function tell({ run }: Silence, ms: number): void {
  const sample = run?.latest;
  const task = sample?.work.task?.name;
  const who = task === undefined ? 'Something' : `Task ${task}`;
  const message = wordingOf({ who, ms, isOver: false, stack: sample?.stack, isTask: task !== undefined });
  const fields = { task, blockedMs: Math.round(ms), stack: sample?.stack.frames };
  try {
    writeSync(STDERR, `${new Date().toISOString()} warn: ${message} ${JSON.stringify(fields)}\n`);
  } catch {
    // Nobody reads: the report comes when the block is over.
  }
}

async function over(beats: number, beatAt: number): Promise<void> {
  const ended = current?.beats === beats ? current : undefined;
  if (ended !== undefined) current = undefined;
  const sampled = ended?.run?.end();
  scheduling.record();
  const descheduledMs = scheduling.descheduledSince(beatAt);
  const sample = await sampled;
  const overheadMs = scheduling.overheadOf(ended?.run?.overheads ?? []);
  budget.spend(overheadMs);
  send({ kind: 'verdict', beats, descheduledMs, overheadMs, sample });
}

parentPort?.on('message', (order: WatchOrder) => {
  if (order.kind === 'over') void over(order.beats, order.beatAt);
  else ({ debuggerPort, isTelling } = order);
});

async function start(): Promise<void> {
  if (stacks) sampling = await import('./stack-sampler.ts');
  tick();
}
void start();
