/** The blocks of one instance: counted, logged, and emitted as events. */
import type { Events } from '../events.ts';
import type { Log } from '../log.ts';
import type { BlockedEvent } from './block.ts';
import { BlockLog } from './block-log.ts';
import { BlockCounter, type BlockStats } from './block-stats.ts';

export class Blocks {
  readonly #events: Events;
  readonly #counter = new BlockCounter();
  readonly #log: BlockLog;

  constructor(log: Log, events: Events) {
    this.#log = new BlockLog(log);
    this.#events = events;
  }

  get stats(): BlockStats {
    return this.#counter.stats;
  }

  record(event: BlockedEvent): void {
    this.#counter.count(event);
    this.#log.write(event);
    this.#events.emit('blocked', event, (same) => same);
  }

  stacksUnavailable(reason: string): void {
    this.#log.writeUnavailable(reason);
  }

  summarize(): void {
    if (this.stats.all.times > 0) this.#log.writeSummary(this.stats);
  }
}
