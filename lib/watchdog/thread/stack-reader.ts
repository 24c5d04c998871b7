/** From the frames of a paused thread to the code that somebody wrote. */
import type { Debugger } from 'node:inspector';
import type { BlockedFrame, BlockedStack } from '../block.ts';
import type { DebuggerSession } from './debugger-session.ts';
import { callAt, callBefore, type FoundCall, knownCallIn } from './known-calls.ts';
import { isOwnCode } from './own-code.ts';
import { writtenPosition } from './positions.ts';

const MOST_FRAMES = 10;

export class StackReader {
  readonly #session: DebuggerSession;

  constructor(session: DebuggerSession) {
    this.#session = session;
  }

  /** @param wasNative whether the thread was in native code when it was asked to pause: the frames are from where it returned to. */
  async stackOf(frames: readonly Debugger.CallFrame[], wasNative: boolean): Promise<BlockedStack> {
    const written = frames.filter(({ url }) => isUserCode(url));
    const call = await this.#callOf(frames, written[0], wasNative);
    const found = typeof call === 'object' ? call : undefined;
    return {
      frames: written
        .slice(0, MOST_FRAMES)
        .map((frame, index) => this.#frameOf(frame, index === 0 ? found : undefined)),
      call: typeof call === 'string' ? call : call?.name,
    };
  }

  /** The call that the thread is in; where it has just returned from native code, the call before that place. */
  async #callOf(
    frames: readonly Debugger.CallFrame[],
    innermost: Debugger.CallFrame | undefined,
    wasNative: boolean,
  ): Promise<string | FoundCall | undefined> {
    const known = knownCallIn(frames);
    if (innermost === undefined) return known?.name;
    const { location, functionLocation } = innermost;
    const [line, column] = [location.lineNumber, location.columnNumber ?? 0];
    const source = await this.#session.sourceOf(location.scriptId);
    const here = callAt(source, line, column);
    // What a program calls, Node may call by another name.
    if (known !== undefined) return here?.endsWith('Sync') ? `${here} of ${known.module}` : known.name;
    if (here !== undefined || !wasNative) return here;
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
  return url.startsWith('file:') && !url.includes('/node_modules/') && !isOwnCode(url);
}
