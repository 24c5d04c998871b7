/** A program that is watched, in a process of its own. It prints a line of JSON for whatever happens in it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { BlockedEvent } from 'express-background-tasks';
import { fixture } from './fixtures.ts';
import { News } from './news.ts';

export interface ProgramOptions {
  /** Of Node. */
  readonly execArgv?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** What a line says; which of the others are there depends on its kind. */
export interface Printed {
  readonly kind: string;
  readonly event: BlockedEvent;
  readonly level: string;
  readonly message: string;
  readonly port: number;
  readonly ms: number;
  readonly ownMs: number;
}

export class WatchedProgram {
  readonly child: ChildProcess;
  readonly printed: Printed[] = [];
  /** Resolves to the exit code, or the signal that ended it, when all that it wrote has been read. */
  readonly exited: Promise<number | string | null>;
  stderr = '';
  #unfinished = '';
  #hasEnded = false;
  readonly #news = new News();

  constructor(name: string, args: readonly string[] = [], { execArgv = [], env = {} }: ProgramOptions = {}) {
    const { NODE_OPTIONS, ...inherited } = process.env;
    this.child = spawn(process.execPath, [...execArgv, fileURLToPath(fixture(name)), ...args], {
      env: { ...inherited, ...env },
    });
    this.child.stdout?.on('data', (chunk: Buffer) => this.#hear(String(chunk)));
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk;
      this.#news.came();
    });
    this.exited = once(this.child, 'close').then(([code, signal]) => {
      this.#hasEnded = true;
      this.#news.came();
      return (code ?? signal) as number | string | null;
    });
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** What it has printed of this kind so far. */
  of(kind: string): Printed[] {
    return this.printed.filter((printed) => printed.kind === kind);
  }

  get blocks(): BlockedEvent[] {
    return this.of('blocked').map(({ event }) => event);
  }

  get port(): number {
    return (this.of('listening')[0] as Printed).port;
  }

  /** Resolves to the first that `find` comes to; rejects if the program ends before that. */
  until<Found>(find: () => Found | undefined): Promise<Found> {
    return this.#news.until(() => {
      const found = find();
      if (found === undefined && this.#hasEnded) throw new Error(`The program ended before that: ${this.stderr}`);
      return found;
    });
  }

  untilPrinted(kind: string, count = 1): Promise<Printed> {
    return this.until(() => this.of(kind)[count - 1]);
  }

  untilStderr(pattern: RegExp): Promise<RegExpExecArray> {
    return this.until(() => pattern.exec(this.stderr) ?? undefined);
  }

  /** Has a task run, and resolves when the response has come: the task is only beginning then. */
  async run(task: string, argument = 0, as = task): Promise<void> {
    const query = new URLSearchParams({ argument: String(argument), as });
    const answer = await fetch(`http://127.0.0.1:${this.port}/tasks/${task}?${query}`, {
      method: 'POST',
      headers: { connection: 'close' },
    });
    if (!answer.ok) throw new Error(`${task}: ${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
  }

  /** The same, and resolves to the block that the watchdog makes of it. */
  async block(task: string, argument: number): Promise<BlockedEvent> {
    const before = this.blocks.length;
    await this.run(task, argument);
    return this.until(() => this.blocks.slice(before).find((block) => block.task?.name === task));
  }

  /** The watchdog's thread takes some time to start: resolves when it has seen the stack of a block. */
  async untilWatched(): Promise<void> {
    await this.untilPrinted('listening');
    while ((await this.block('spin', 200)).stack.length === 0);
  }

  #hear(text: string): void {
    const lines = (this.#unfinished + text).split('\n');
    this.#unfinished = lines.pop() as string;
    this.printed.push(...lines.map((line) => JSON.parse(line) as Printed));
    this.#news.came();
  }
}
