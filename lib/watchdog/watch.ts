/** The watched thread's side: it gives heartbeats, measures stalls, and tells the instances what has caused them. */
import { type Deferred, deferred } from '../deferred.ts';
import { CLOCK_OFFSET, sharedNow } from '../time/clock.ts';
import { clearInterval, eventLoopUtilization, nextTurn, setInterval } from '../time/real-time.ts';
import { doneWithin } from '../time/timers.ts';
import { type BlockPart, GARBAGE_COLLECTION, partsOf } from './cause.ts';
import { GarbageCollections } from './garbage-collections.ts';
import { Heartbeat } from './heartbeat.ts';
import { debuggerPort, whyNoStacks } from './inspector.ts';
import type { MessageFromThread, StallReport, ThreadSettings } from './messages.ts';
import { RequestCounter } from './request-counter.ts';
import { SamplingGate } from './sampling-gate.ts';
import { turnMemory } from './sampling-turn.ts';
import type { Stall } from './stall.ts';
import { ownSchedulingFile, readScheduling } from './thread/scheduling.ts';
import { ThreadHandle } from './thread-handle.ts';
import type { Block, Watched } from './watched.ts';
import { WorkTracker } from './work-tracker.ts';

/** Heartbeats in a threshold; the watchdog's thread looks for them as often. */
const TICKS_PER_THRESHOLD = 5;
const SHORTEST_TICK = 5;
/** After so many ticks the thread is sent its settings again: they may have changed. */
const TICKS_PER_SETTINGS = 50;

/** How long the end of an instance waits for the report of the latest stall, in milliseconds. */
const LONGEST_CATCHING_UP = 500;

interface CountedStall {
  readonly stall: Stall;
  readonly waitingRequests: number;
}

/** A stall that the thread has not reported yet. */
interface UnreportedStall {
  readonly counted: Promise<CountedStall>;
  readonly reported: Deferred<void>;
}

export class Watch {
  readonly threshold: number;
  readonly stacks: boolean;
  readonly work: WorkTracker;
  readonly #watched: Iterable<Watched>;
  readonly #heartbeat = new Heartbeat();
  readonly #gate = new SamplingGate();
  readonly #requests = new RequestCounter();
  readonly #collections = new GarbageCollections();
  /** If it is not alive, stalls are measured, and no more is known of them. */
  readonly #thread: ThreadHandle;
  readonly #timer: NodeJS.Timeout;
  /** By their `beats`. */
  readonly #unreported = new Map<number, UnreportedStall>();
  #beatAt = 0;
  #idleMs = 0;
  #ticks = 0;

  constructor(watched: Iterable<Watched>) {
    this.#watched = watched;
    const all = [...watched];
    this.threshold = Math.min(...all.map(({ threshold }) => threshold));
    this.stacks = all.some(({ stacks }) => stacks);
    this.work = new WorkTracker(this.#heartbeat, this.threshold);
    const obstacle = whyNoStacks();
    if (this.stacks && obstacle !== undefined) this.#stacksUnavailable(obstacle);
    const tickMs = Math.max(SHORTEST_TICK, this.threshold / TICKS_PER_THRESHOLD);
    this.#idleMs = eventLoopUtilization().idle;
    const schedulingFile = ownSchedulingFile();
    const firstReading = readScheduling(schedulingFile);
    this.#beat(sharedNow());
    const threadData = {
      memory: { heartbeat: this.#heartbeat.memory, gate: this.#gate.memory, turn: turnMemory() },
      threshold: this.threshold,
      tickMs,
      stacks: this.stacks && obstacle === undefined,
      schedulingFile,
      firstReading,
      ...this.#threadSettings,
    };
    this.#thread = new ThreadHandle(threadData, {
      messaged: (message) => this.#hear(message),
      lost: (reason) => this.#threadLost(reason),
    });
    process.once('exit', this.#onExit);
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    process.off('exit', this.#onExit);
    this.#collections.stop();
    this.#thread.terminate();
  }

  /** Resolves when all is reported that has blocked so far, also in the turn that is just ending. */
  async catchUp(): Promise<void> {
    // What follows from the work that has just ended belongs to it.
    await nextTurn();
    this.#tick();
    const reports = [...this.#unreported.values()].map(({ reported }) => reported.promise);
    if (reports.length > 0) await doneWithin(LONGEST_CATCHING_UP, Promise.all(reports));
  }

  readonly #onExit = (): void => {
    if (this.#thread.isAlive) this.#gate.close();
  };

  requested(): void {
    this.#requests.add();
    this.work.changed();
  }

  #threadLost(reason: string): void {
    this.#stacksUnavailable(reason);
    for (const beats of this.#unreported.keys()) void this.#reported(unseen(beats));
  }

  #hear(message: MessageFromThread): void {
    if (message.kind === 'no-stacks') this.#stacksUnavailable(message.reason);
    else void this.#reported(message);
  }

  get #threadSettings(): ThreadSettings {
    return { debuggerPort: debuggerPort(), logs: [...this.#watched].some(({ logs }) => logs) };
  }

  #tick(): void {
    const to = sharedNow();
    const { idle } = eventLoopUtilization();
    const from = this.#beatAt;
    const activeMs = to - from - (idle - this.#idleMs);
    const stall = { beats: this.#heartbeat.beats, from, to, activeMs, ...this.work.take() };
    this.#idleMs = idle;
    this.#beat(to);
    if (activeMs >= this.threshold) this.#stalled(stall);
    this.#ticks += 1;
    if (this.#ticks % TICKS_PER_SETTINGS === 0) this.#thread.send({ kind: 'settings', ...this.#threadSettings });
  }

  #beat(at: number): void {
    this.#beatAt = at;
    this.#heartbeat.beat(at);
  }

  #stalled(stall: Stall): void {
    const { beats, from } = stall;
    this.#unreported.set(beats, { counted: this.#withRequests(stall), reported: deferred() });
    if (this.#thread.isAlive) this.#thread.send({ kind: 'stall-ended', beats, beatAt: from });
    else void this.#reported(unseen(beats));
  }

  async #withRequests(stall: Stall): Promise<CountedStall> {
    return { stall, waitingRequests: await this.#requests.countWaiting(stall.to) };
  }

  async #reported(report: StallReport): Promise<void> {
    const unreported = this.#unreported.get(report.beats);
    if (unreported === undefined) return;
    const { stall, waitingRequests } = await unreported.counted;
    this.#unreported.delete(report.beats);
    for (const part of this.#explain(stall, report)) this.#notify({ ...part, waitingRequests });
    unreported.reported.resolve();
  }

  #explain(stall: Stall, report: StallReport): BlockPart[] {
    const { from, to, activeMs } = stall;
    const { descheduledMs } = report;
    const stalledMs = activeMs - descheduledMs - report.overheadMs;
    if (stalledMs < this.threshold) return [];
    // The duration of a collection includes its part of the descheduled time, which is subtracted already.
    const ranShare = Math.max(0, 1 - descheduledMs / activeMs);
    const collectedMs = (begin: number, end: number): number =>
      this.#collections.msWithin(begin - CLOCK_OFFSET, end - CLOCK_OFFSET) * ranShare;
    const blockedMs = stalledMs - collectedMs(from, to);
    if (blockedMs < this.threshold) return [{ ...GARBAGE_COLLECTION, blockedMs: stalledMs }];
    return partsOf({ ...stall, ...report, blockedMs, collectedMs }, this.threshold);
  }

  #notify(block: Block): void {
    const concerned = [...this.#watched].filter(({ threshold }) => block.blockedMs >= threshold);
    for (const watched of concerned) watched.blocked(block);
  }

  #stacksUnavailable(reason: string): void {
    for (const watched of this.#watched) watched.stacksUnavailable(reason);
  }
}

/** What is reported of a stall that the watchdog's thread did not see. */
function unseen(beats: number): StallReport {
  return { kind: 'stall-report', beats, descheduledMs: 0, overheadMs: 0, sample: undefined };
}
