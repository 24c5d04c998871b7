/** The watched side: it gives signs of life, and when it stood still it hears from the other side why. */
import { Worker } from 'node:worker_threads';
import { CLOCK_OFFSET, sharedNow } from '../clock.ts';
import { type RunningTask, taskContext } from '../current-task.ts';
import { watchThread } from '../here.ts';
import { toError } from '../to-error.ts';
import { COLLECTION, type Share, type Sight, type Standstill, type Stretch, sharesOf } from './cause.ts';
import { Collections } from './collections.ts';
import { Heartbeat } from './heartbeat.ts';
import { debuggerPort, whyNoStacks } from './inspector.ts';
import { SamplingGate } from './sampling-gate.ts';
import type { CurrentWork } from './stack-sample.ts';
import { ownSchedulingFile } from './thread/scheduling.ts';
import type { Setting, VerdictMessage, WatchData, WatchOrder, WatchReply } from './wire.ts';

/** A block as it is told to whom it concerns. */
export interface Block extends Share {
  readonly waitingRequests: number;
}

/** Who is told: an instance of the package that has its watchdog on. */
export interface Watched {
  /** In milliseconds. */
  readonly threshold: number;
  readonly stacks: boolean;
  /** Whether it logs at all. */
  readonly isTelling: boolean;
  blocked(block: Block): void;
  /** There will be no stacks, and why. */
  steppedAside(reason: string): void;
}

/** So often in a threshold the loop gives a sign of life, and the thread looks for it. */
const TICKS_PER_THRESHOLD = 5;
const SHORTEST_TICK = 5;
/** So many ticks pass until the thread hears whether it may speak, and whether a debugger could come. */
const TICKS_PER_SETTING = 50;

/** A task's start that took so much of the threshold is remembered. */
const LONG_STRETCH = 0.5;
/** So many turns of the loop without a new request, and all that had waited were heard. */
const QUIET_TURNS = 2;
/** In milliseconds: on a busy server there is no such turn. */
const LONGEST_CATCHING_UP = 50;

/** What was to be gathered when the loop turned again. */
interface Caught {
  readonly standstill: Standstill;
  readonly sight: Sight | undefined;
  readonly stretches: readonly Stretch[];
  readonly requests: number;
}

export class Watch {
  readonly threshold: number;
  readonly stacks: boolean;
  readonly #watched: ReadonlySet<Watched>;
  readonly #heartbeat = new Heartbeat();
  readonly #gate = new SamplingGate();
  readonly #collections = new Collections();
  /** None where it could not be started, or has died: then blocks are measured, and no more is known of them. */
  #thread: Worker | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #waiting = new Map<number, Promise<Caught>>();
  #beatAt = 0;
  #idleMs = 0;
  #ticks = 0;
  #requests = 0;
  #sight: Sight | undefined;
  /** The same, as long as the work that was seen is not known to be over. */
  #openSight: Sight | undefined;
  /** Since the last beat, as the next. */
  #pieces = 0;
  #stretches: Stretch[] = [];

  constructor(watched: ReadonlySet<Watched>) {
    this.#watched = watched;
    const all = [...watched];
    this.threshold = Math.min(...all.map(({ threshold }) => threshold));
    this.stacks = all.some(({ stacks }) => stacks);
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
    process.once('exit', this.#exiting);
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    process.off('exit', this.#exiting);
    this.#collections.stop();
    void this.#thread?.terminate();
  }

  readonly #exiting = (): void => {
    if (this.#thread !== undefined) this.#gate.close();
  };

  requested(): void {
    this.#requests += 1;
    this.#workChanged();
  }

  began(): number {
    return this.#workChanged();
  }

  ended(task: RunningTask, from: number): void {
    const to = this.#workChanged();
    if (to - from >= this.threshold * LONG_STRETCH) this.#stretches.push({ task, from, to });
  }

  #workChanged(): number {
    this.#pieces += 1;
    const at = sharedNow();
    this.#heartbeat.workChanged(at);
    if (this.#openSight !== undefined) {
      this.#openSight.endedAt = at;
      this.#openSight = undefined;
    }
    return at;
  }

  currentWork(task = taskContext.getStore()): CurrentWork {
    const { beats, workSince } = this.#heartbeat;
    if (this.#sight?.beats !== beats) this.#sight = this.#see(beats, workSince, task);
    const isFirstSeen = this.#openSight === this.#sight && !this.#sight.isLeft;
    return { beats, since: workSince, isFirstSeen, task: task && { id: task.id, name: task.name } };
  }

  #see(beats: number, since: number, task: RunningTask | undefined): Sight {
    const at = sharedNow();
    const sight: Sight = { beats, task, at, since, endedAt: at, isLeft: false };
    this.#openSight = sight;
    const ended = (): void => {
      sight.isLeft = true;
      if (this.#openSight === sight) sight.endedAt = sharedNow();
    };
    // Where nobody says that the work is over: the first is called behind it, the other behind what promises made of it.
    queueMicrotask(ended);
    process.nextTick(ended);
    return sight;
  }

  /** Without the options of the process: a loader or `--inspect-brk` is nothing to it. */
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
    for (const beats of this.#waiting.keys()) void this.#judge(unseen(beats));
  }

  #tick(): void {
    const to = sharedNow();
    const { idle } = performance.eventLoopUtilization();
    const from = this.#beatAt;
    const activeMs = to - from - (idle - this.#idleMs);
    const { beats } = this.#heartbeat;
    const [pieces, stretches] = [this.#pieces, this.#stretches];
    [this.#pieces, this.#stretches] = [0, []];
    this.#idleMs = idle;
    this.#beat(to);
    if (activeMs >= this.threshold) this.#stoodStill({ beats, from, to, activeMs, pieces }, stretches);
    this.#ticks += 1;
    if (this.#ticks % TICKS_PER_SETTING === 0) this.#send({ kind: 'setting', ...this.#setting });
  }

  #beat(at: number): void {
    this.#beatAt = at;
    this.#heartbeat.beat(at);
  }

  #stoodStill(standstill: Standstill, stretches: readonly Stretch[]): void {
    const { beats, from } = standstill;
    this.#waiting.set(beats, this.#whenCaughtUp(standstill, stretches));
    if (this.#thread === undefined) void this.#judge(unseen(beats));
    else this.#send({ kind: 'over', beats, beatAt: from });
  }

  /** When the requests that have come in the meantime have been heard: connections are accepted one a turn. */
  async #whenCaughtUp(standstill: Standstill, stretches: readonly Stretch[]): Promise<Caught> {
    const before = this.#requests;
    const sight = this.#sight?.beats === standstill.beats ? this.#sight : undefined;
    for (
      let quietTurns = 0, seen = before;
      quietTurns < QUIET_TURNS && sharedNow() - standstill.to < LONGEST_CATCHING_UP;
    ) {
      await new Promise((resolve) => setImmediate(resolve));
      quietTurns = this.#requests === seen ? quietTurns + 1 : 0;
      seen = this.#requests;
    }
    return { standstill, sight, stretches, requests: this.#requests - before };
  }

  #hear(reply: WatchReply): void {
    if (reply.kind === 'aside') this.#stepAside(reply.reason);
    else void this.#judge(reply);
  }

  async #judge({ beats, descheduledMs, overheadMs, sample }: VerdictMessage): Promise<void> {
    const caughtUp = await this.#waiting.get(beats);
    this.#waiting.delete(beats);
    if (caughtUp === undefined) return;
    const { standstill, sight, stretches, requests: waitingRequests } = caughtUp;
    const { from, to, activeMs } = standstill;
    const stoodMs = activeMs - descheduledMs - overheadMs;
    if (stoodMs < this.threshold) return;
    // Collections are measured from beginning to end: what the machine withheld in the meantime is counted already.
    const ranPart = Math.max(0, 1 - descheduledMs / activeMs);
    const collectedMs = (begin: number, end: number): number =>
      this.#collections.within(begin - CLOCK_OFFSET, end - CLOCK_OFFSET) * ranPart;
    const blockedMs = stoodMs - collectedMs(from, to);
    if (blockedMs < this.threshold) {
      this.#tell({ ...COLLECTION, blockedMs: stoodMs, waitingRequests });
      return;
    }
    const evidence = { standstill, blockedMs, descheduledMs, overheadMs, collectedMs, sample, sight, stretches };
    const shares = sharesOf(evidence, this.threshold);
    for (const share of shares) this.#tell({ ...share, waitingRequests });
  }

  #tell(block: Block): void {
    const concerned = [...this.#watched].filter(({ threshold }) => block.blockedMs >= threshold);
    for (const watched of concerned) watched.blocked(block);
  }

  #stepAside(reason: string): void {
    for (const watched of this.#watched) watched.steppedAside(reason);
  }

  get #setting(): Setting {
    return { debuggerPort: debuggerPort(), isTelling: [...this.#watched].some(({ isTelling }) => isTelling) };
  }

  #send(order: WatchOrder): void {
    this.#thread?.postMessage(order);
  }
}

function unseen(beats: number): VerdictMessage {
  return { kind: 'verdict', beats, descheduledMs: 0, overheadMs: 0, sample: undefined };
}
