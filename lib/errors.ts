/** The errors of the package: one class, a stable code each, and what HTTP should make of them. */

/** A refusal that a client may retry: the server is busy or going away. */
const UNAVAILABLE = { status: 503, expose: true, headers: { 'Retry-After': '1' } } as const;
const INTERNAL = {} as const;

interface HttpMeaning {
  readonly status?: number;
  readonly expose?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

const CODES = {
  ERR_BACKGROUND_OPTION: INTERNAL,
  ERR_BACKGROUND_TASK: INTERNAL,
  ERR_BACKGROUND_MODULE: INTERNAL,
  ERR_BACKGROUND_EXPORT: INTERNAL,
  ERR_BACKGROUND_NOT_CLONEABLE: INTERNAL,
  ERR_BACKGROUND_FULL: UNAVAILABLE,
  ERR_BACKGROUND_CLOSED: UNAVAILABLE,
  ERR_BACKGROUND_NO_REQUEST: INTERNAL,
  ERR_BACKGROUND_HOOK: INTERNAL,
  ERR_BACKGROUND_TIMEOUT: INTERNAL,
  ERR_BACKGROUND_CANCELLED: INTERNAL,
  ERR_BACKGROUND_ABANDONED: INTERNAL,
  ERR_BACKGROUND_THREAD_START: INTERNAL,
  ERR_BACKGROUND_THREAD_EXITED: INTERNAL,
  ERR_BACKGROUND_PROCESS_START: INTERNAL,
  ERR_BACKGROUND_PROCESS_EXITED: INTERNAL,
  ERR_BACKGROUND_OUT_OF_MEMORY: INTERNAL,
  ERR_BACKGROUND_NOT_AN_ERROR: INTERNAL,
  ERR_BACKGROUND_STRAY: INTERNAL,
  ERR_BACKGROUND_RESULT_NOT_CLONEABLE: INTERNAL,
  ERR_BACKGROUND_LOGGER: INTERNAL,
  ERR_BACKGROUND_PEER: INTERNAL,
  // What an engine says names hosts, ports and users.
  ERR_BACKGROUND_ENGINE: { ...UNAVAILABLE, expose: false },
  ERR_BACKGROUND_NOT_JSON: INTERNAL,
  ERR_BACKGROUND_TOO_LARGE: INTERNAL,
  ERR_BACKGROUND_NOT_DISCARDED: INTERNAL,
  ERR_BACKGROUND_REGISTRY: INTERNAL,
  ERR_BACKGROUND_UNKNOWN_TASK: INTERNAL,
  ERR_BACKGROUND_ARGUMENTS: INTERNAL,
} as const satisfies Record<string, HttpMeaning>;

/** Every code that a {@link BackgroundTaskError} can carry. */
export type BackgroundTaskErrorCode = keyof typeof CODES;

// Two copies of the package (ESM and CommonJS) in one process must recognise each other's errors.
const BRAND: unique symbol = Symbol.for('express-background-tasks.error');

/**
 * What the package throws, and what it puts into an outcome where the task itself threw nothing.
 *
 * Match on `code`, which is stable; the message is for people. `help` names the heading in
 * `docs/errors.md` that says when the error occurs and what to do. Where a handler can meet the
 * error, `status`, `expose` and `headers` let Express answer the request by itself.
 *
 * @example
 * try {
 *   res.locals.backgroundTasks.add(sendEmail, address);
 * } catch (error) {
 *   if (error instanceof BackgroundTaskError && error.code === 'ERR_BACKGROUND_FULL') shedLoad();
 *   throw error; // Express answers 503
 * }
 */
export class BackgroundTaskError extends Error {
  /** The stable code to match on. */
  readonly code: BackgroundTaskErrorCode;
  /** Where the package's own documentation explains the code. */
  readonly help: string;
  /** The HTTP status that Express answers with, where a handler can meet the error. */
  declare readonly status?: number;
  /** Whether the message may be shown to the client. */
  declare readonly expose?: boolean;
  /** Headers that Express's final handler sends with the answer. */
  declare readonly headers?: Readonly<Record<string, string>>;

  constructor(code: BackgroundTaskErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.help = `express-background-tasks/docs/errors.md#${code.toLowerCase()}`;
    Object.assign(this, CODES[code]);
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // Every error of the package has the brand, and not every one is of a class that extends this.
    // biome-ignore lint/complexity/noThisInStatic: the class that was asked is this one, or one that extends it.
    if (this !== BackgroundTaskError) return super[Symbol.hasInstance](value);
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}
Object.defineProperty(BackgroundTaskError.prototype, 'name', {
  value: 'BackgroundTaskError',
  configurable: true,
  writable: true,
});
Object.defineProperty(BackgroundTaskError.prototype, BRAND, { value: true });

/** What somebody has written is wrong: an option, or a call. */
export function optionError(message: string): BackgroundTaskError {
  return new BackgroundTaskError('ERR_BACKGROUND_OPTION', message);
}

/** An engine, or what it is made of, does not do what it is to do. */
export function engineError(message: string, options?: { cause?: unknown }): BackgroundTaskError {
  return new BackgroundTaskError('ERR_BACKGROUND_ENGINE', message, options);
}

/**
 * For an error that an outcome keeps. Until its stack is read, V8 keeps the functions on it, what they were called on, and
 * all that these can reach: the request.
 */
export function letGoOfFrames<Kept extends Error>(error: Kept): Kept {
  Reflect.get(error, 'stack');
  return error;
}

/** The `code` of whatever was thrown, as Node's errors and ours have one. */
export function codeOf(thrown: unknown): unknown {
  return (thrown as { readonly code?: unknown } | null | undefined)?.code;
}

/** Every code there is, for the test that holds docs/errors.md against them. */
export const errorCodes: readonly BackgroundTaskErrorCode[] = Object.keys(CODES) as BackgroundTaskErrorCode[];
