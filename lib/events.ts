/** Typed events for the application, and the same on `node:diagnostics_channel` for its instruments. */
import { type Channel, channel } from 'node:diagnostics_channel';
import { describe } from './describe.ts';
import { optionError } from './errors.ts';
import type { ExecutorName } from './executor-names.ts';
import { notify } from './hooks.ts';
import type { Outcome } from './outcome.ts';
import type { BlockedEvent } from './watchdog/block.ts';

interface TaskFacts {
  /** The id of the task's handle. */
  readonly id: string;
  /** The task's name. */
  readonly name: string;
  /** Where it runs. */
  readonly executor: ExecutorName;
}

/** A task was accepted. */
export interface AddedEvent extends TaskFacts {
  /** What decides among the tasks that wait for a thread. */
  readonly priority: number;
}

/** An attempt began. */
export interface StartedEvent extends TaskFacts {
  /** Which attempt, from `1`. Those that failed before they started count. */
  readonly attempt: number;
  /** Milliseconds from `add` to the first start. */
  readonly waitedMs: number;
}

/** An attempt failed, and another will follow. */
export interface RetryingEvent extends TaskFacts {
  /** The attempt that failed, from `1`. */
  readonly attempt: number;
  /** What it threw, or why it was ended. */
  readonly error: Error;
  /** Milliseconds until the next attempt. */
  readonly delayMs: number;
}

/** Every event, with what its listeners are given. The diagnostics channels `express-background-tasks:<event>` carry the same. */
export interface BackgroundTaskEvents {
  /** Within `add`: the task is counted, and will settle. */
  readonly added: AddedEvent;
  /** When an attempt begins. */
  readonly started: StartedEvent;
  /** When an attempt has failed that another follows. */
  readonly retrying: RetryingEvent;
  /** Once for each task, when it has its outcome. */
  readonly settled: Outcome;
  /** The watchdog's, when the loop turns again. */
  readonly blocked: BlockedEvent;
}

/** The names of the events. */
export type EventName = keyof BackgroundTaskEvents;
/** What `on` and `off` take: a function of what the event carries. It may be asynchronous. */
export type EventListener<Name extends EventName> = (event: BackgroundTaskEvents[Name]) => unknown;

// The channels of a process are shared by every instance and by both copies of the package.
const channels: { readonly [Name in EventName]: Channel } = {
  added: channel('express-background-tasks:added'),
  started: channel('express-background-tasks:started'),
  retrying: channel('express-background-tasks:retrying'),
  settled: channel('express-background-tasks:settled'),
  blocked: channel('express-background-tasks:blocked'),
};

const EVENT_NAMES: readonly string[] = Object.keys(channels);

export class Events {
  readonly #listeners: { readonly [Name in EventName]: Set<EventListener<Name>> } = {
    added: new Set(),
    started: new Set(),
    retrying: new Set(),
    settled: new Set(),
    blocked: new Set(),
  };
  readonly #onListenerError: (event: EventName, thrown: unknown) => void;

  constructor(onListenerError: (event: EventName, thrown: unknown) => void) {
    this.#onListenerError = onListenerError;
  }

  on<Name extends EventName>(name: Name, listener: EventListener<Name>): void {
    checkListener(name, listener);
    this.#listeners[name].add(listener);
  }

  off<Name extends EventName>(name: Name, listener: EventListener<Name>): void {
    checkListener(name, listener);
    this.#listeners[name].delete(listener);
  }

  /** Makes the event only if somebody listens. */
  emit<Name extends EventName, Source>(
    name: Name,
    source: Source,
    makeEvent: (source: Source) => BackgroundTaskEvents[Name],
  ): void {
    if (this.#listeners[name].size > 0 || channels[name].hasSubscribers) this.#tell(name, makeEvent(source));
  }

  #tell<Name extends EventName>(name: Name, event: BackgroundTaskEvents[Name]): void {
    const listeners: ReadonlySet<EventListener<Name>> = this.#listeners[name];
    for (const listener of [...listeners]) {
      notify(
        () => listener(event),
        (thrown) => this.#onListenerError(name, thrown),
      );
    }
    channels[name].publish(event);
  }
}

function checkListener(event: unknown, listener: unknown): void {
  if (!EVENT_NAMES.includes(event as string)) {
    throw optionError(`Expected an event to be one of ${EVENT_NAMES.join(', ')}, got ${describe(event)}.`);
  }
  if (typeof listener !== 'function') {
    throw optionError(`Expected the listener of '${event}' to be a function, got ${describe(listener)}.`);
  }
}
