/** The queue of what waits for a thread or a process: its order, and that no step more is taken where more wait. */
import { describe, expect, it } from '@jest/globals';
import { Queue, type Queued } from '../lib/queue.ts';

let steps = 0;

/** Counts how often it is looked at. */
class Entry implements Queued<Entry> {
  readonly #priority: number;
  #previous: Entry | undefined;
  #next: Entry | undefined;

  constructor(priority: number) {
    this.#priority = priority;
  }

  get priority(): number {
    steps += 1;
    return this.#priority;
  }

  get previous(): Entry | undefined {
    steps += 1;
    return this.#previous;
  }

  set previous(entry) {
    steps += 1;
    this.#previous = entry;
  }

  get next(): Entry | undefined {
    steps += 1;
    return this.#next;
  }

  set next(entry) {
    steps += 1;
    this.#next = entry;
  }
}

const PRIORITIES = [-2, -1, 0, 1, 2];

function fill(queue: Queue<Entry>, count: number): Entry[] {
  return Array.from({ length: count }, (_, index) => {
    const entry = new Entry(PRIORITIES[index % PRIORITIES.length] as number);
    queue.push(entry);
    return entry;
  });
}

/** Methods of an array that look at one element after the other, or move them, without touching a property of any. */
const WALKS = [
  'indexOf',
  'lastIndexOf',
  'includes',
  'filter',
  'find',
  'findIndex',
  'splice',
  'shift',
  'unshift',
] as const;

/** How often entries are looked at while it acts, by the queue or by an array that it might use. */
function countSteps(act: () => void): number {
  const { prototype } = Array as unknown as { prototype: Record<string, (...args: unknown[]) => unknown> };
  const originals = WALKS.map((name) => [name, prototype[name] as (typeof prototype)[string]] as const);
  for (const [name, original] of originals) {
    prototype[name] = function (this: unknown[], ...args) {
      steps += this.length;
      return original.apply(this, args);
    };
  }
  steps = 0;
  act();
  const counted = steps;
  for (const [name, original] of originals) prototype[name] = original;
  return counted;
}

describe('the queue', () => {
  it('gives the highest priority first, and within one the order added, without those that were taken out', () => {
    const queue = new Queue<Entry>();
    const entries = fill(queue, 1_000);
    const ofPriority = (wanted: number): Entry[] => entries.filter(({ priority }) => priority === wanted);
    const cancelled = entries.filter((_, index) => index % 7 === 0);
    for (const entry of cancelled) queue.remove(entry);
    const first = new Entry(0);
    queue.unshift(first);

    const taken: Entry[] = [];
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) taken.push(entry);
    const expected = [
      ...ofPriority(2),
      ...ofPriority(1),
      first,
      ...ofPriority(0),
      ...ofPriority(-1),
      ...ofPriority(-2),
    ];
    expect(taken.map((entry) => entries.indexOf(entry))).toEqual(
      expected.filter((entry) => !cancelled.includes(entry)).map((entry) => entries.indexOf(entry)),
    );
    expect(queue.size).toBe(0);
  });

  const [FEW, MANY] = [1_000, 100_000];
  /** A logarithm grows by two thirds from the one to the other. A scan takes a hundred times as many steps. */
  const MOST_GROWTH = 2;

  it.each<[string, (queue: Queue<Entry>, entries: readonly Entry[]) => void]>([
    ['adds', (queue) => queue.push(new Entry(0))],
    ['puts back', (queue) => queue.unshift(new Entry(0))],
    ['takes', (queue) => void queue.shift()],
    ['removes from the middle', (queue, entries) => queue.remove(entries[entries.length / 2] as Entry)],
    ['removes what was added last', (queue, entries) => queue.remove(entries.at(-1) as Entry)],
  ])('%s without looking at those that wait', (_what, act) => {
    const [few, many] = [FEW, MANY].map((count) => {
      const queue = new Queue<Entry>();
      const entries = fill(queue, count);
      return countSteps(() => act(queue, entries));
    }) as [number, number];
    expect(few).toBeGreaterThan(0);
    expect(many).toBeLessThanOrEqual(MOST_GROWTH * few);
  });
});
