/** Sees where the main thread is while it is blocked: its stack, its task, and whether it is still there a moment later. */
import type { Debugger } from 'node:inspector';
import { setTimeout as delay } from 'node:timers/promises';
import { sharedNow } from '../../clock.ts';
import { here } from '../../here.ts';
import type { BlockedFrame, BlockedRequest, BlockedStack, Whereabouts, Witness } from '../block.ts';
import type { Pulse } from '../pulse.ts';
import { type AskFrame, DebuggerSession, LookOverError } from './debugger-session.ts';
import { callAt, callBefore, type FoundCall, knownCallIn } from './known-calls.ts';
import { writtenPosition } from './positions.ts';

/** A thread that has not heard for so many milliseconds was in native code. */
const LATE = 20;
/** The longest stopping that was seen, in the time that it took to enable the debugger, and some more. */
const LONGEST_STOPPING = 1.25;
const MOST_FRAMES = 10;

/** What the main thread is asked while it stands still. In some of Node's own frames a bare `Symbol` is out of reach. */
const WHEREABOUTS = `globalThis[globalThis.Symbol.for('express-background-tasks.watchdog')]?.look`;
/** Where a task's last code returns to. Its async context may be over, but not the name of what it was. */
const RETURN_OF_TASK = { function: '#endAfter', file: /\/executors\/event-loop\.js$/, task: 'attempt.task' };
/** So many frames are asked, from the innermost: some of Node's own cannot answer. */
const FRAMES_TO_ASK = 6;

/** The methods of Express's layers that call a handler, as they are named in 5 and 4, and what they know of its request. */
const HANDLES_REQUEST = new Set(['handleRequest', 'handle']);
const LAYER = /\/layer\.js$/;
const REQUEST = `({ method: req.method, route: req.route ? (req.baseUrl || '') + req.route.path : req.originalUrl.split('?')[0] })`;

interface Answer {
  readonly whereabouts: Whereabouts | undefined;
  readonly request: BlockedRequest | undefined;
}

async function askThread(ask: AskFrame, frames: readonly Debugger.CallFrame[]): Promise<Answer> {
  let whereabouts: Whereabouts | undefined;
  for (const frame of frames.slice(0, FRAMES_TO_ASK)) {
    const task = isReturnOfTask(frame) ? RETURN_OF_TASK.task : '';
    whereabouts = (await ask(frame, `${WHEREABOUTS}(${task})`)) as Whereabouts | undefined;
    if (whereabouts !== undefined) break;
  }
  const handler = frames.find(({ functionName, url }) => HANDLES_REQUEST.has(functionName) && LAYER.test(url));
  const request = handler && ((await ask(handler, REQUEST)) as BlockedRequest | undefined);
  return { whereabouts, request };
}

/** Of both copies of this package. */
const OWN_FOLDER = new URL('../', here).href;

function isReturnOfTask({ functionName, url }: Debugger.CallFrame): boolean {
  return functionName === RETURN_OF_TASK.function && url.startsWith(OWN_FOLDER) && RETURN_OF_TASK.file.test(url);
}

export class Witnessing {
  readonly #session = new DebuggerSession();
  readonly #pulse: Pulse;
  readonly #betweenLooks: number;
  /** While it reads what it has seen, the main thread runs, and may be left to. */
  #phase: 'looking' | 'reading' = 'looking';
  #isOver = false;

  constructor(pulse: Pulse, betweenLooks: number) {
    this.#pulse = pulse;
    this.#betweenLooks = betweenLooks;
  }

  /**
   * `undefined` if the block was over before the thread could be stopped.
   *
   * @throws {DebuggedError} if somebody else has stopped the main thread.
   */
  async testify(beats: number, onFirst: (witness: Witness) => void): Promise<Witness | undefined> {
    if (this.#isOver || !this.#pulse.beginLook()) return undefined;
    try {
      const askedAt = sharedNow();
      // Not waited for: the thread is to be stopped where it hears of it.
      const opening = this.#session.open();
      const first = await this.#session.pause(askThread);
      const { heardAt, enabledAt, enablingMs } = await opening;
      const { whereabouts, request } = first.answer;
      if (whereabouts?.beats !== beats) return undefined;
      this.#phase = 'reading';
      // To stop takes the thread as long as to get ready for it, at most: both may walk the whole heap.
      const stoppingMs = Math.min(first.at - enabledAt, enablingMs * LONGEST_STOPPING);
      const unheardMs = heardAt - askedAt + (first.at - enabledAt - stoppingMs);
      const stack = await this.#stackOf(first.frames, unheardMs > LATE);
      const witness = {
        beats,
        whereabouts,
        request,
        stack,
        askedAt,
        seenAt: first.at + first.heldMs,
        unheardMs,
        isSame: undefined,
        heldMs: enablingMs + stoppingMs + first.heldMs,
      };
      onFirst(witness);
      return (await this.#lookAgain(witness, first.answer)) ?? witness;
    } catch (thrown) {
      if (this.#isOver || thrown instanceof LookOverError) return undefined;
      throw thrown;
    } finally {
      this.stop();
      this.#pulse.endLook();
    }
  }

  /** At once: the process exits. */
  stop(): void {
    this.#isOver = true;
    this.#session.end();
  }

  /** The block is over: whoever would be stopped from here on has nothing to do with it. */
  end(): void {
    this.#isOver = true;
    if (this.#phase === 'looking') this.#session.end();
  }

  async #lookAgain(witness: Witness, first: Answer): Promise<Witness | undefined> {
    await delay(this.#betweenLooks);
    if (this.#isOver) return undefined;
    this.#phase = 'looking';
    try {
      const second = await this.#session.pause(askThread);
      if (second.answer.whereabouts?.beats !== witness.beats) return undefined;
      return { ...witness, isSame: isSame(first, second.answer), heldMs: witness.heldMs + second.heldMs };
    } catch {
      return undefined;
    }
  }

  async #stackOf(frames: readonly Debugger.CallFrame[], isLate: boolean): Promise<BlockedStack> {
    const written = frames.filter(({ url }) => isUserCode(url));
    const call = await this.#callOf(frames, written[0], isLate);
    const found = typeof call === 'object' ? call : undefined;
    return {
      frames: written
        .slice(0, MOST_FRAMES)
        .map((frame, index) => this.#frameOf(frame, index === 0 ? found : undefined)),
      call: typeof call === 'string' ? call : call?.name,
    };
  }

  /** What stands still in a call of its own is named by it; what comes back from native code, by the last call before. */
  async #callOf(
    frames: readonly Debugger.CallFrame[],
    innermost: Debugger.CallFrame | undefined,
    isLate: boolean,
  ): Promise<string | FoundCall | undefined> {
    const known = knownCallIn(frames);
    if (innermost === undefined) return known?.name;
    const { location, functionLocation } = innermost;
    const [line, column] = [location.lineNumber, location.columnNumber ?? 0];
    const source = await this.#session.sourceOf(location.scriptId);
    const here = callAt(source, line, column);
    // What a program calls, Node may call by another name.
    if (known !== undefined) return here?.endsWith('Sync') ? `${here} of ${known.module}` : known.name;
    if (here !== undefined || !isLate) return here;
    const from = { line: functionLocation?.lineNumber ?? 0, column: functionLocation?.columnNumber ?? 0 };
    return callBefore(source, from, { line, column });
  }

  #frameOf({ functionName, location, url }: Debugger.CallFrame, at = placeOf(location)): BlockedFrame {
    const map = this.#session.script(location.scriptId)?.sourceMapURL;
    return { function: functionName || 'anonymous', ...writtenPosition(url, map, at.line, at.column) };
  }
}

function placeOf({ lineNumber, columnNumber = 0 }: Debugger.Location): { line: number; column: number } {
  return { line: lineNumber, column: columnNumber };
}

function isUserCode(url: string): boolean {
  return url.startsWith('file:') && !url.includes('/node_modules/') && !url.startsWith(OWN_FOLDER);
}

/** In the same task, though it may have awaited something in between; outside of tasks, in the same work. */
function isSame(one: Answer, other: Answer): boolean {
  const [task, laterTask] = [one, other].map(({ whereabouts }) => whereabouts?.task?.id);
  return task === undefined ? other.whereabouts?.isStillSeen === true : task === laterTask;
}
