/** The watchdog's thread: while the watched thread gives no heartbeat, it samples its stack. */
import { writeSync } from 'node:fs';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { onOneLine } from '../../one-line.ts';
import { sharedNow } from '../../time/clock.ts';
import { SECOND } from '../../time/timers.ts';
import { Heartbeat } from '../heartbeat.ts';
import type { MessageFromThread, MessageToThread, ThreadData } from '../messages.ts';
import { SamplingGate } from '../sampling-gate.ts';
import { SamplingTurn } from '../sampling-turn.ts';
import { wordingOf } from '../wording.ts';
import { isDebuggerAttached } from './debugger-presence.ts';
import { SamplingBudget } from './sampling-budget.ts';
import type { SamplingRun } from './sampling-run.ts';
import { SchedulingHistory } from './scheduling-history.ts';

/** A block is logged when it has lasted that long, and again each time that it has doubled. */
const FIRST_LOGGED = 1 * SECOND;
const STDERR = 2;
/** The time between the two samples of a block, as a part of the threshold. */
const BETWEEN_SAMPLES = 0.25;

const { memory, threshold, tickMs, stacks, schedulingFile, firstReading } = workerData as ThreadData;
let { debuggerPort, logs } = workerData as ThreadData;
const heartbeat = new Heartbeat(memory.heartbeat);
const gate = new SamplingGate(memory.gate);
const turn = new SamplingTurn(memory.turn, threadId);
const scheduling = new SchedulingHistory(schedulingFile, tickMs, firstReading);
const budget = new SamplingBudget();

interface OngoingStall {
  readonly beats: number;
  readonly run: SamplingRun | undefined;
  /** How long it must have blocked to be logged, in milliseconds. */
  logAt: number;
}

let current: OngoingStall | undefined;
let lastRun: SamplingRun | undefined;
/** Loaded only where stacks are read: some Nodes are built without an inspector. */
let sampling: typeof import('./sampling-run.ts') | undefined;
let canSample = stacks;

function send(message: MessageFromThread): void {
  parentPort?.postMessage(message);
}

function tick(): void {
  if (gate.isClosed) lastRun?.stop();
  scheduling.record();
  const { beatAt, beats } = heartbeat;
  const silentMs = sharedNow() - beatAt;
  if (silentMs >= threshold) {
    const blockedMs = silentMs - scheduling.descheduledSince(beatAt);
    if (blockedMs >= threshold && heartbeat.beats === beats) watchStall(beats, blockedMs);
  }
  setTimeout(tick, tickMs);
}

function watchStall(beats: number, blockedMs: number): void {
  if (current?.beats !== beats) current = { beats, run: startSampling(beats), logAt: FIRST_LOGGED };
  if (blockedMs < current.logAt) return;
  current.logAt *= 2;
  if (logs) logStall(current, blockedMs);
}

function startSampling(beats: number): SamplingRun | undefined {
  if (sampling === undefined || !maySample()) return undefined;
  const tools = { gate, turn, msBetweenSamples: threshold * BETWEEN_SAMPLES };
  lastRun = new sampling.SamplingRun(tools, beats, lastRun, (why) => giveUpStacks(`stacks cannot be read: ${why}`));
  return lastRun;
}

function maySample(): boolean {
  if (!canSample || budget.isSpent) return false;
  if (!isDebuggerAttached(debuggerPort)) return true;
  giveUpStacks('a debugger is attached');
  return false;
}

function giveUpStacks(reason: string): void {
  canSample = false;
  send({ kind: 'no-stacks', reason });
}

/** To stderr, as the default logger does: the application's logger is in the blocked thread. */
function logStall({ run }: OngoingStall, ms: number): void {
  const sample = run?.latest;
  const task = sample?.work.task?.name;
  const who = task === undefined ? 'Something' : `Task ${task}`;
  const message = wordingOf({ who, ms, isOver: false, stack: sample?.stack, isTask: task !== undefined });
  const fields = { task, blockedMs: Math.round(ms), stack: sample?.stack.frames };
  try {
    writeSync(STDERR, `${onOneLine(`${new Date().toISOString()} warn: ${message} ${JSON.stringify(fields)}`)}\n`);
  } catch {
    // Nobody reads stderr. The watched thread will log the block when it is over.
  }
}

async function reportStall(beats: number, beatAt: number): Promise<void> {
  const run = current?.beats === beats ? current.run : undefined;
  if (current?.beats === beats) current = undefined;
  const sampled = run?.end();
  scheduling.record();
  const descheduledMs = scheduling.descheduledSince(beatAt);
  const sample = await sampled;
  const overheadMs = scheduling.overheadOf(run?.overheads ?? []);
  budget.spend(overheadMs);
  send({ kind: 'stall-report', beats, descheduledMs, overheadMs, sample });
}

parentPort?.on('message', (message: MessageToThread) => {
  if (message.kind === 'stall-ended') void reportStall(message.beats, message.beatAt);
  else ({ debuggerPort, logs } = message);
});

async function start(): Promise<void> {
  if (stacks) sampling = await import('./sampling-run.ts');
  tick();
}
void start();
