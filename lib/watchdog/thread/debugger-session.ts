/** A look at the main thread from another one, through Node's inspector. The one room that knows it. */
import { type Debugger, Session } from 'node:inspector';
import { sharedNow } from '../../clock.ts';
import { DebuggedError } from './debugger-presence.ts';

/** Where the main thread was when it was stopped for a look. */
export interface Pause<Answer> {
  readonly frames: readonly Debugger.CallFrame[];
  /** What the main thread answered to the question. */
  readonly answer: Answer;
  readonly at: number;
  /** How long the main thread stood still for it, in milliseconds. */
  readonly heldMs: number;
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

  open(): void {
    this.#session.connectToMainThread();
    // Not waited for: a thread in native code answers when it comes out of it, and is to be stopped right there.
    this.#post('Debugger.enable').catch(() => {});
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
    try {
      const answer = await ask(this.#ask, frames);
      return { frames, answer, at, heldMs: sharedNow() - at };
    } finally {
      await this.#post('Debugger.resume');
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
    this.#close(new Error('The look is over.'));
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
