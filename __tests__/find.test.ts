/** `find()`: a task by its id, from when it is added until its outcome is no longer kept. */
import { describe, expect, it } from '@jest/globals';
import type { Outcome } from 'express-background-tasks';
import { makeBackground } from './support/cleanup.ts';
import { makeGate } from './support/gates.ts';
import { inRequest } from './support/servers.ts';

describe('find()', () => {
  it('gives the handle until the task has settled, then the outcome', async () => {
    const background = makeBackground();
    const release = makeGate();
    const handle = await inRequest(background, (tasks) => {
      const added = tasks.add(() => release.opened);
      expect(background.find(added.id)).toBe(added);
      return added;
    });
    expect(background.find(handle.id)).toBe(handle);
    release.open();
    const outcome = await handle.settled;
    await background.idle();
    expect(background.find(handle.id)).toBe(outcome);
  });

  it('gives the handle of a task between two attempts', async () => {
    const background = makeBackground();
    const found = makeGate<unknown>();
    background.on('retrying', ({ id }) => found.open(background.find(id)));
    const handle = background.with({ retry: { attempts: 2, delay: 0 } }).add(() => {
      throw new Error('again');
    });
    expect(await found.opened).toBe(handle);
  });

  it('keeps as many outcomes as `history` says, the newest', async () => {
    const background = makeBackground({ history: 2 });
    const handles = [1, 2, 3, 4].map((number) => background.add(() => number));
    await background.idle();
    const found = handles.map(({ id }) => (background.find(id) as Outcome | undefined)?.value);
    expect(found).toEqual([undefined, undefined, 3, 4]);
  });

  it('keeps the outcomes of the tasks that settled last, whatever the order in which they were added', async () => {
    const [count, history] = [40, 7];
    const background = makeBackground({ history });
    const running = Array.from({ length: count }, () => {
      const gate = makeGate();
      return { gate, handle: background.add(() => gate.opened) };
    });
    const settled: string[] = [];
    // Every task once, none after its neighbour: 11 and 40 have no divisor in common.
    for (let turn = 0; turn < count; turn += 1) {
      const { gate, handle } = running[(turn * 11) % count] as (typeof running)[number];
      gate.open();
      await handle.settled;
      settled.push(handle.id);
      const kept = settled.filter((id) => background.find(id) !== undefined);
      expect(kept).toEqual(settled.slice(-history));
    }
  });

  it('keeps none with history: 0', async () => {
    const background = makeBackground({ history: 0 });
    const { id, settled } = background.add(() => {});
    await settled;
    await background.idle();
    expect(background.find(id)).toBeUndefined();
  });

  it('knows no ids but its own', async () => {
    const background = makeBackground();
    const other = makeBackground();
    const release = makeGate();
    const { id } = background.add(() => release.opened);
    expect(background.find(id)).toBeDefined();
    expect(other.find(id)).toBeUndefined();
    for (const wrong of ['', '-', 'nonsense', `${id}!`, `${id}-1`, `${id} `, id.replace('-', '-0')]) {
      expect([wrong, background.find(wrong)]).toEqual([wrong, undefined]);
    }
    release.open();
  });

  it.each<[string, unknown]>([
    ['an array', ['id']],
    ['an object', { id: 1 }],
    ['an object that cannot become a text', { toString: null }],
    ['the name of a member of every object', '__proto__'],
    ['megabytes', '-'.repeat(200_000_000)],
    ['nothing', undefined],
  ])('finds nothing for what a route may be given in the place of an id: %s', (_what, id) => {
    expect(makeBackground().find(id as string)).toBeUndefined();
  });
});
