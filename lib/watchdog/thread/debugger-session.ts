/** A look at the main thread from another one, through Node's inspector. The one room that knows it. */
import { type Debugger, type Runtime, Session } from 'node:inspector';
import { sharedNow } from '../../clock.ts';
import { DebuggedError } from './debugger-presence.ts';

/** So long the main thread is held up at most, in milliseconds. */
const LONGEST_HOLD = 100;

/** What was under way when the session was ended. */
export class LookOverError extends Error {}

/** Where the main thread was when it was stopped for a look. */
export interface Pause<Answer> {
  readonly frames: readonly Debugger.CallFrame[];
  /** What the main thread answered to the question. */
  readonly answer: Answer;
  readonly at: number;
  /** How long the main thread stood still for it, in milliseconds. */
  readonly heldMs: number;
}

/** How the main thread took it that it is to be looked at. */
export interface Opening {
  /** When it had heard of it, and when it could be stopped, as it was learned here. */
  readonly heardAt: number;
  readonly enabledAt: number;
  /** How long it was busy with it itself, in milliseconds. */
  readonly enablingMs: number;
}

/** What an expression comes to in a frame of the stopped thread, as plain data; `undefined` for one that cannot answer. */
export type AskFrame = (frame: Debugger.CallFrame, expression: string) => Promise<unknown>;

export class DebuggerSession {
  readonly #session = new Session();
  readonly #scripts = new Map<string, Debugger.ScriptParsedEventDataType>();
  #paused: ((event: Debugger.PausedEventDataType) => void) | undefined;
  #isClosed = false;
  #close: (reason: Error) => void = () => {};
  readonly #closed = new Promise<never>((_resolve, reject) => {
    this.#close = reject;
  });

  constructor() {
    this.#closed.catch(() => {});
    this.#session.on('Debugger.scriptParsed', ({ params }) => this.#scripts.set(params.scriptId, params));
    this.#session.on('Debugger.paused', ({ params }) => this.#paused?.(params));
  }

  /** One in native code hears of it when it comes out, or looks up. */
  async open(): Promise<Opening> {
    this.#session.connectToMainThread();
    const [heard, , enabled] = await Promise.all([
      this.#timeOfMainThread(),
      this.#post('Debugger.enable'),
      this.#timeOfMainThread(),
    ]);
    // A program may have taken its clock away.
    return { heardAt: heard.at, enabledAt: enabled.at, enablingMs: enabled.time - heard.time || 0 };
  }

  async #timeOfMainThread(): Promise<{ readonly time: number; readonly at: number }> {
    const question = { expression: 'performance.now()', returnByValue: true, silent: true };
    const { result } = await this.#post<Runtime.EvaluateReturnType>('Runtime.evaluate', question);
    return { time: Number(result.value), at: sharedNow() };
  }

  /**
   * Stops the main thread where it is, asks it what there is to ask, and lets it go on.
   *
   * @throws {DebuggedError} if somebody else has stopped it.
   */
  async pause<Answer>(
    ask: (question: AskFrame, frames: readonly Debugger.CallFrame[]) => Promise<Answer>,
  ): Promise<Pause<Answer>> {
    let isOurs = false;
    const paused = new Promise<Debugger.PausedEventDataType>((resolve, reject) => {
      // A thread that stood still already is told of at once, before the request is answered.
      this.#paused = (event) => {
        if (isOurs) resolve(event);
        else reject(new DebuggedError('Another debugger has stopped the main thread.'));
      };
    });
    paused.catch(() => {});
    this.#session.post('Debugger.pause', () => {
      isOurs = true;
    });
    const { callFrames } = await Promise.race([paused, this.#closed]);
    const at = sharedNow();
    // Node leaves the frames' own urls empty.
    const frames = callFrames.map((frame) => ({
      ...frame,
      url: this.script(frame.location.scriptId)?.url ?? frame.url,
    }));
    const overdue = setTimeout(() => this.end(), LONGEST_HOLD);
    try {
      const answer = await ask(this.#ask, frames);
      return { frames, answer, at, heldMs: sharedNow() - at };
    } finally {
      clearTimeout(overdue);
      // Not waited for: once it goes on, it may be quicker to say that the block is over than the session to answer.
      this.#post('Debugger.resume').catch(() => {});
    }
  }

  script(scriptId: string): Debugger.ScriptParsedEventDataType | undefined {
    return this.#scripts.get(scriptId);
  }

  async sourceOf(scriptId: string): Promise<string> {
    const { scriptSource } = await this.#post<{ scriptSource: string }>('Debugger.getScriptSource', { scriptId });
    return scriptSource;
  }

  /** At any time: what is under way rejects, and the main thread goes on. */
  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#close(new LookOverError('The look is over.'));
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
    return Promise.race([answered, this.#closed]);
  }
}
