/** The watched thread's side: it gives heartbeats, measures stalls, and tells the instances what has caused them. */
import { Worker } from 'node:worker_threads';
import { CLOCK_OFFSET, sharedNow } from '../clock.ts';
import type { RunningTask } from '../current-task.ts';
import { watchThread } from '../here.ts';
import { toError } from '../to-error.ts';
import { type BlockPart, GARBAGE_COLLECTION, partsOf } from './cause.ts';
import { Collections } from './collections.ts';
import { Heartbeat } from './heartbeat.ts';
import { debuggerPort, whyNoStacks } from './inspector.ts';
import { RequestCounter } from './request-counter.ts';
import { SamplingGate } from './sampling-gate.ts';
import type { CurrentWork } from './stack-sample.ts';
import type { Stall } from './stall.ts';
import { ownSchedulingFile } from './thread/scheduling.ts';
import type { Block, Watched } from './watched.ts';
import type { Setting, VerdictMessage, WatchData, WatchOrder, WatchReply } from './wire.ts';
import { WorkTracker } from './work-tracker.ts';

/** Heartbeats in a threshold; the watchdog's thread looks for them as often. */
const TICKS_PER_THRESHOLD = 5;
const SHORTEST_TICK = 5;
/** After so many ticks the thread is told again what may have changed. */
const TICKS_PER_SETTING = 50;

interface CountedStall {
  readonly stall: Stall;
  readonly waitingRequests: number;
}

export class Watch {
  readonly threshold: number;
  readonly stacks: boolean;
  readonly #watched: ReadonlySet<Watched>;
  readonly #heartbeat = new Heartbeat();
  readonly #gate = new SamplingGate();
  readonly #work: WorkTracker;
  readonly #requests = new RequestCounter();
  readonly #collections = new Collections();
  /** `undefined` if it could not be started or has died: then stalls are measured, and no more is known of them. */
  #thread: Worker | undefined;
  readonly #timer: NodeJS.Timeout;
  /** The stalls that the thread has not reported yet, by their `beats`. */
  readonly #unreported = new Map<number, Promise<CountedStall>>();
  #beatAt = 0;
  #idleMs = 0;
  #ticks = 0;

  constructor(watched: ReadonlySet<Watched>) {
    this.#watched = watched;
    const all = [...watched];
    this.threshold = Math.min(...all.map(({ threshold }) => threshold));
    this.stacks = all.some(({ stacks }) => stacks);
    this.#work = new WorkTracker(this.#heartbeat, this.threshold);
    const obstacle = whyNoStacks();
    if (this.stacks && obstacle !== undefined) this.#stepAside(obstacle);
    const tickMs = Math.max(SHORTEST_TICK, this.threshold / TICKS_PER_THRESHOLD);
    this.#idleMs = performance.eventLoopUtilization().idle;
    this.#beat(sharedNow());
    this.#startThread({
      memory: { heartbeat: this.#heartbeat.memory, gate: this.#gate.memory },
      threshold: this.threshold,
      tickMs,
      stacks: this.stacks && obstacle === undefined,
      schedulingFile: ownSchedulingFile(),
      ...this.#setting,
    });
    process.once('exit', this.#onExit);
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    process.off('exit', this.#onExit);
    this.#collections.stop();
    void this.#thread?.terminate();
  }

  readonly #onExit = (): void => {
    if (this.#thread !== undefined) this.#gate.close();
  };

  requested(): void {
    this.#requests.add();
    this.#work.changed();
  }

  began(): number {
    return this.#work.changed();
  }

  ended(task: RunningTask, beganAt: number): void {
    this.#work.ended(task, beganAt);
  }

  currentWork(task?: RunningTask): CurrentWork {
    return this.#work.currentWork(task);
  }

  /** Without the options of the process: the thread needs no loader, and must not wait for `--inspect-brk`. */
  #startThread(workerData: WatchData): void {
    try {
      this.#thread = new Worker(watchThread, { workerData, execArgv: [], env: {}, name: 'watchdog' });
    } catch (thrown) {
      this.#stepAside(toError(thrown).message);
      return;
    }
    this.#thread.on('message', (reply: WatchReply) => this.#hear(reply));
    this.#thread.on('error', (error) => this.#loseThread(error.message));
    this.#thread.unref();
  }

  #loseThread(reason: string): void {
    this.#thread = undefined;
    this.#stepAside(reason);
    for (const beats of this.#unreported.keys()) void this.#explain(unseen(beats));
  }

  #hear(reply: WatchReply): void {
    if (reply.kind === 'aside') this.#stepAside(reply.reason);
    else void this.#explain(reply);
  }

  #send(order: WatchOrder): void {
    this.#thread?.postMessage(order);
  }

  get #setting(): Setting {
    return { debuggerPort: debuggerPort(), isTelling: [...this.#watched].some(({ isTelling }) => isTelling) };
  }

  #tick(): void {
    const to = sharedNow();
    const { idle } = performance.eventLoopUtilization();
    const from = this.#beatAt;
    const activeMs = to - from - (idle - this.#idleMs);
    const stall = { beats: this.#heartbeat.beats, from, to, activeMs, ...this.#work.take() };
    this.#idleMs = idle;
    this.#beat(to);
    if (activeMs >= this.threshold) this.#stalled(stall);
    this.#ticks += 1;
    if (this.#ticks % TICKS_PER_SETTING === 0) this.#send({ kind: 'setting', ...this.#setting });
  }

  #beat(at: number): void {
    this.#beatAt = at;
    this.#heartbeat.beat(at);
  }

  #stalled(stall: Stall): void {
    const { beats, from } = stall;
    this.#unreported.set(beats, this.#withRequests(stall));
    if (this.#thread === undefined) void this.#explain(unseen(beats));
    else this.#send({ kind: 'over', beats, beatAt: from });
  }

  async #withRequests(stall: Stall): Promise<CountedStall> {
    return { stall, waitingRequests: await this.#requests.countWaiting(stall.to) };
  }

  async #explain(report: VerdictMessage): Promise<void> {
    const counted = await this.#unreported.get(report.beats);
    this.#unreported.delete(report.beats);
    if (counted === undefined) return;
    const { stall, waitingRequests } = counted;
    for (const part of this.#partsOf(stall, report)) this.#notify({ ...part, waitingRequests });
  }

  #partsOf(stall: Stall, report: VerdictMessage): BlockPart[] {
    const { from, to, activeMs } = stall;
    const { descheduledMs } = report;
    const stalledMs = activeMs - descheduledMs - report.overheadMs;
    if (stalledMs < this.threshold) return [];
    // The duration of a collection includes its part of the descheduled time, which is subtracted already.
    const ranShare = Math.max(0, 1 - descheduledMs / activeMs);
    const collectedMs = (begin: number, end: number): number =>
      this.#collections.within(begin - CLOCK_OFFSET, end - CLOCK_OFFSET) * ranShare;
    const blockedMs = stalledMs - collectedMs(from, to);
    if (blockedMs < this.threshold) return [{ ...GARBAGE_COLLECTION, blockedMs: stalledMs }];
    return partsOf({ ...stall, ...report, blockedMs, collectedMs }, this.threshold);
  }

  #notify(block: Block): void {
    const concerned = [...this.#watched].filter(({ threshold }) => block.blockedMs >= threshold);
    for (const watched of concerned) watched.blocked(block);
  }

  #stepAside(reason: string): void {
    for (const watched of this.#watched) watched.steppedAside(reason);
  }
}

/** What is reported of a stall that the watchdog's thread did not see. */
function unseen(beats: number): VerdictMessage {
  return { kind: 'verdict', beats, descheduledMs: 0, overheadMs: 0, sample: undefined };
}
