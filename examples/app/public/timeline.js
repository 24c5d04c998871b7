/** One row for each task: how long it waited and ran, and where. Time zero is the end of the response. */
import { element, milliseconds } from './dom.js';

const NARROWEST = 0.6;

export class Timeline {
  #axis;
  #rows = new Map();
  #settled = new Map();

  constructor(container, axis, tasks) {
    this.#axis = axis;
    axis.replaceChildren('response sent', '');
    for (const { id, name } of tasks) {
      const track = element('div', { class: 'track' }, element('i', { class: 'until' }));
      const facts = element('div', { class: 'facts' }, 'waiting');
      const row = element('div', { class: 'row', 'data-task': name, 'data-state': 'waiting' }, name, track, facts);
      this.#rows.set(id, { row, track, facts });
    }
    container.replaceChildren(...[...this.#rows.values()].map(({ row }) => row));
  }

  update(task) {
    const { row, facts } = this.#rows.get(task.id);
    if (task.type === 'settled') {
      row.setAttribute('data-state', task.state);
      this.#settled.set(task.id, task);
      facts.replaceChildren(...factsOf(task));
      this.#rows.get(task.id).track.replaceChildren();
      this.#draw();
    } else if (!this.#settled.has(task.id)) {
      row.setAttribute('data-state', task.type === 'started' ? 'running' : 'retrying');
      facts.replaceChildren(
        task.type === 'started' ? place(task.executor) : '',
        task.type === 'started' ? 'running' : `failed, and is tried again: ${task.error.message}`,
      );
    }
  }

  /** All bars share one scale, which grows with the task that ended last. */
  #draw() {
    const timed = [...this.#settled].filter(([, { ranMs }]) => ranMs !== undefined);
    const longest = Math.max(0, ...timed.map(([, { waitedMs, ranMs }]) => waitedMs + ranMs));
    for (const [id, task] of timed) {
      const percent = (value) => (100 * value) / longest;
      const ran = bar(
        `ran ${task.state === 'completed' ? task.executor : 'bad'}`,
        percent(task.waitedMs),
        percent(task.ranMs),
      );
      this.#rows.get(id).track.replaceChildren(bar('waited', 0, percent(task.waitedMs)), ran);
    }
    this.#axis.replaceChildren(element('span', {}, 'response sent'), element('span', {}, `+ ${milliseconds(longest)}`));
  }
}

function bar(kind, left, width) {
  const made = element('i', { class: kind });
  const shownWidth = Math.max(width, NARROWEST);
  made.style.left = `${Math.min(left, 100 - shownWidth)}%`;
  made.style.width = `${shownWidth}%`;
  return made;
}

function place(executor) {
  return element('span', { class: `place ${executor}` }, executor.replace('-', ' '));
}

function factsOf({ executor, waitedMs, ranMs, attempts, state, error }) {
  const number = (value) => element('b', {}, milliseconds(value));
  const facts = executor === undefined ? [] : [place(executor)];
  if (ranMs === undefined) facts.push(state);
  else facts.push('waited ', number(waitedMs), ', ran ', number(ranMs));
  if (attempts > 1) facts.push(`, ${attempts} attempts`);
  if (error !== undefined) facts.push(element('div', { class: 'failed' }, `${state}: ${error.message}`));
  return facts;
}
