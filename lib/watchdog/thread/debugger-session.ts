/** Pauses the main thread from another one, through Node's inspector. No other file knows the inspector's protocol. */
import { type Debugger, type Runtime, Session } from 'node:inspector';
import { deferred } from '../../deferred.ts';
import { sharedNow } from '../../time/clock.ts';
import { DebuggedError } from './debugger-presence.ts';

/** How long the main thread is paused at most, in milliseconds. */
const LONGEST_PAUSE = 100;

/** What was under way when the session was ended rejects with it. */
export class SessionEndedError extends Error {}

export interface Pause<Answer> {
  /** The stack of the main thread, the innermost frame first. */
  readonly frames: readonly Debugger.CallFrame[];
  /** What the main thread answered while it was paused. */
  readonly answer: Answer;
  /** When it was found paused. */
  readonly at: number;
  /** How long the pause took, in milliseconds. */
  readonly pausedMs: number;
}

/** How the main thread responded when the debugger was enabled. */
interface Opening {
  /** When its first response came, and when it had enabled the debugger, both as this thread heard of it. */
  readonly respondedAt: number;
  readonly enabledAt: number;
  /** How long the main thread itself was busy with enabling, in milliseconds. */
  readonly enablingMs: number;
}

/** Evaluates an expression in a frame of the paused thread: to plain data, or to `undefined` where the frame cannot answer. */
export type AskFrame = (frame: Debugger.CallFrame, expression: string) => Promise<unknown>;

export class DebuggerSession {
  readonly #session = new Session();
  readonly #scripts = new Map<string, Debugger.ScriptParsedEventDataType>();
  readonly #ended = deferred<never>();
  #isEnded = false;
  #onPaused: ((event: Debugger.PausedEventDataType) => void) | undefined;

  constructor() {
    this.#ended.promise.catch(() => {});
    this.#session.on('Debugger.scriptParsed', ({ params }) => this.#scripts.set(params.scriptId, params));
    this.#session.on('Debugger.paused', ({ params }) => this.#paused(params));
  }

  /** An unrequested pause comes from a `debugger` statement, which stops the thread while a session is open. Ends the session. */
  #paused(event: Debugger.PausedEventDataType): void {
    const onPaused = this.#onPaused;
    this.#onPaused = undefined;
    if (onPaused === undefined) this.end();
    else onPaused(event);
  }

  /** A main thread in native code responds when it returns from there, or checks for interrupts. */
  async open(): Promise<Opening> {
    this.#session.connectToMainThread();
    const [first, , enabled] = await Promise.all([
      this.#timeOfMainThread(),
      this.#post('Debugger.enable'),
      this.#timeOfMainThread(),
    ]);
    // `NaN` where a program has replaced `performance`.
    return { respondedAt: first.at, enabledAt: enabled.at, enablingMs: enabled.time - first.time || 0 };
  }

  async #timeOfMainThread(): Promise<{ readonly time: number; readonly at: number }> {
    const question = { expression: 'performance.now()', returnByValue: true, silent: true };
    const { result } = await this.#post<Runtime.EvaluateReturnType>('Runtime.evaluate', question);
    return { time: Number(result.value), at: sharedNow() };
  }

  /**
   * Pauses the main thread where it is, for as long as `ask` takes, and resumes it.
   *
   * @throws {DebuggedError} if another debugger has paused it.
   */
  async pause<Answer>(
    ask: (question: AskFrame, frames: readonly Debugger.CallFrame[]) => Promise<Answer>,
  ): Promise<Pause<Answer>> {
    const { callFrames } = await this.#requestPause();
    const at = sharedNow();
    // Node leaves the frames' own urls empty.
    const frames = callFrames.map((frame) => ({
      ...frame,
      url: this.script(frame.location.scriptId)?.url ?? frame.url,
    }));
    const overdue = setTimeout(() => this.end(), LONGEST_PAUSE);
    try {
      const answer = await ask(this.#ask, frames);
      return { frames, answer, at, pausedMs: sharedNow() - at };
    } finally {
      clearTimeout(overdue);
      // Not awaited: the end of the block may be known before the inspector has answered.
      this.#post('Debugger.resume').catch(() => {});
    }
  }

  #requestPause(): Promise<Debugger.PausedEventDataType> {
    const paused = deferred<Debugger.PausedEventDataType>();
    paused.promise.catch(() => {});
    let isAnswered = false;
    // The inspector reports a thread that is paused already at once, before it answers the request.
    this.#onPaused = (event) => {
      if (isAnswered) paused.resolve(event);
      else paused.reject(new DebuggedError('Another debugger has stopped the main thread.'));
    };
    this.#session.post('Debugger.pause', () => {
      isAnswered = true;
    });
    return Promise.race([paused.promise, this.#ended.promise]);
  }

  script(scriptId: string): Debugger.ScriptParsedEventDataType | undefined {
    return this.#scripts.get(scriptId);
  }

  async sourceOf(scriptId: string): Promise<string> {
    const { scriptSource } = await this.#post<{ scriptSource: string }>('Debugger.getScriptSource', { scriptId });
    return scriptSource;
  }

  /** May be called at any time: what is under way rejects, and the main thread goes on. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#ended.reject(new SessionEndedError('The session was ended.'));
    this.#session.disconnect();
  }

  readonly #ask: AskFrame = async ({ callFrameId }, expression) => {
    const { result, exceptionDetails } = await this.#post<Debugger.EvaluateOnCallFrameReturnType>(
      'Debugger.evaluateOnCallFrame',
      { callFrameId, expression, returnByValue: true, silent: true },
    );
    return exceptionDetails === undefined && result.type === 'object' ? result.value : undefined;
  };

  #post<Answer = object>(method: string, params: object = {}): Promise<Answer> {
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#session.post(method, params, (error, answer) => {
        if (error === null) resolve(answer as Answer);
        else reject(new Error(`${method}: ${error.message}`));
      });
    });
    return Promise.race([answered, this.#ended.promise]);
  }
}
