/** One child process. The one room that forks. */
import { type ChildProcess as Child, fork } from 'node:child_process';
import { constants, getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { ResolvedProcessOptions } from '../options/process-pool.ts';
import { processEntry } from '../package-files.ts';
import { clearTimeout, setTimeout } from '../time/real-time.ts';
import { encodeError } from './error-codec.ts';
import { inheritedExecArgv } from './exec-argv.ts';
import { type AttemptName, LONGEST_LEAVING, type PoolWorker, type WorkerObserver } from './pool-worker.ts';
import { type ReadReply, replyIn } from './process-reply.ts';
import type { Order, Result, TaskMessage } from './wire.ts';
import { processExited } from './worker-errors.ts';

/** How long a child may take to exit by itself until it gets SIGKILL, in milliseconds. */
const TERMINATION_GRACE = 100;

/** How long to wait for the end of the channel when a process has exited, in milliseconds. */
const LAST_WORDS_GRACE = 100;

/** Where a debugger's port is opened (NODE_OPTIONS, SIGUSR1): the usual one is the server's. */
const ANY_DEBUGGER_PORT = '--inspect-port=0';

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ChildProcess implements PoolWorker {
  readonly #child: Child;
  readonly #observer: WorkerObserver;
  readonly #exit: Promise<void>;
  #startFailure: Error | undefined;
  /** Nothing else that looks like one of these comes from this package: it must not make the process free a second time. */
  #owes: 'first word' | 'answer' | undefined = 'first word';
  #sent = 0;
  /**
   * How many of them have reached it, where it is certain: it said so before it left, or was gone before it was sent the
   * last. One that is killed says nothing.
   */
  #received: number | undefined;
  #isEnding = false;

  constructor(options: ResolvedProcessOptions, observer: WorkerObserver) {
    this.#observer = observer;
    this.#child = fork(fileURLToPath(processEntry), options.argv === undefined ? [] : [...options.argv], {
      // Map, Date, BigInt, Buffer and typed arrays cross as they do to a thread.
      serialization: 'advanced',
      execArgv: [
        ...inheritedExecArgv(),
        ANY_DEBUGGER_PORT,
        ...memoryFlags(options.resourceLimits),
        ...(options.execArgv ?? []),
      ],
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: unknown) => {
      const reply = replyIn(message);
      if (reply !== undefined) this.#hear(reply);
    });
    this.#exit = this.#whenGone().then(({ code, signal }) => this.#exited(code, signal));
    // A process that could not start has no channel. Its exit reports that.
    if (this.#child.connected) this.#send({ maxResultSize: options.maxResultSize });
    lowerPriority(this.#child, options.niceIncrement);
  }

  get isLeaving(): boolean {
    const { connected, exitCode, signalCode } = this.#child;
    return this.#received !== undefined || !connected || exitCode !== null || signalCode !== null;
  }

  run([message]: readonly TaskMessage[]): void {
    // The system has refused to take it: nobody is there to read it.
    this.#send(message as TaskMessage, () => {
      this.#received ??= this.#sent - 1;
    });
    this.#sent += 1;
    this.#owes = 'answer';
    this.#hold();
  }

  /** Never: it is given one task at a time, which has begun. */
  recall(): boolean {
    return false;
  }

  report(): void {}

  neverReceived(): boolean {
    return this.#received !== undefined && this.#received < this.#sent;
  }

  cancel({ id, attempt }: AttemptName, reason: Error): void {
    this.#send({ cancel: id, attempt, reason: encodeError(reason) });
  }

  holdUntilGone(): void {
    this.#hold();
    setTimeout(() => this.#child.kill('SIGKILL'), LONGEST_LEAVING).unref();
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#hold();
    // When its channel ends, a process exits by itself, if its event loop turns.
    if (this.#child.connected) this.#child.disconnect();
    const force = setTimeout(() => this.#child.kill('SIGKILL'), TERMINATION_GRACE);
    await this.#exit;
    clearTimeout(force);
  }

  /** Resolves when the process has exited, or could not start, and its last messages were read. */
  #whenGone(): Promise<Exit> {
    return new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.#startFailure ??= error;
        if (this.#child.pid === undefined) resolve({ code: null, signal: null });
      });
      this.#child.once('exit', (code, signal) => {
        const end = (): void => resolve({ code, signal });
        if (!this.#child.connected) {
          end();
          return;
        }
        // The end of the channel comes behind the last message. A grandchild may hold the channel open, however. Where a
        // task waits for the end, the channel keeps this process alive.
        const grace = setTimeout(end, LAST_WORDS_GRACE).unref();
        this.#child.once('disconnect', () => {
          clearTimeout(grace);
          end();
        });
      });
    });
  }

  /** Errors are no more than noted: if the child has just died, its exit reports that. */
  #send(order: Order, onRefused: () => void = () => {}): void {
    this.#child.send(order, (error) => {
      if (error !== null) onRefused();
    });
  }

  #hear(reply: ReadReply): void {
    switch (reply.kind) {
      case 'ready':
        if (this.#paid('first word')) this.#observer.ready();
        break;
      case 'leaving':
        this.#received = reply.received;
        // It was sent a task before this was heard of.
        if (this.neverReceived()) this.holdUntilGone();
        break;
      case 'stray':
        this.#observer.stray(reply);
        break;
      default:
        this.#answered(reply, reply.ranMs);
    }
  }

  #answered(result: Result, ranMs: number | undefined): void {
    if (!this.#paid('answer')) return;
    this.#observer.progressed({ ended: [{ result, ranMs }], nextStartedAt: undefined, isFree: true });
  }

  /** Whether it owed that. */
  #paid(what: 'first word' | 'answer'): boolean {
    if (this.#owes !== what) return false;
    this.#owes = undefined;
    this.#letGo();
    return true;
  }

  /** While it runs a task, or ends, or another waits for its place, the child keeps this process alive. */
  #hold(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }

  #letGo(): void {
    this.#child.unref();
    this.#child.channel?.unref();
  }

  #exited(exitCode: number | null, signal: NodeJS.Signals | null): void {
    // A grandchild that holds the channel would keep this process alive as long as it lives.
    if (this.#child.connected) this.#child.disconnect();
    this.#observer.exited(this.#isEnding ? undefined : processExited(exitCode, signal, this.#startFailure));
  }
}

/** Of the limits, the two that Node has options for. */
function memoryFlags(limits: ResolvedProcessOptions['resourceLimits']): string[] {
  const { maxOldGenerationSizeMb, maxYoungGenerationSizeMb } = limits ?? {};
  return [
    ...(maxOldGenerationSizeMb === undefined ? [] : [`--max-old-space-size=${Math.ceil(maxOldGenerationSizeMb)}`]),
    ...(maxYoungGenerationSizeMb === undefined ? [] : [`--max-semi-space-size=${Math.ceil(maxYoungGenerationSizeMb)}`]),
  ];
}

function lowerPriority(child: Child, niceIncrement: number): void {
  if (child.pid === undefined || niceIncrement === 0) return;
  try {
    setPriority(child.pid, Math.min(getPriority() + niceIncrement, constants.priority.PRIORITY_LOW));
  } catch {
    // Not permitted here, or the child is gone already: it runs at normal priority, or not at all.
  }
}
