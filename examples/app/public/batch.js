/** Pings the idle server, then the same while it makes twenty thumbnails, and shows both. */
import { milliseconds } from './dom.js';
import { percentile, pingUntil } from './ping.js';

const IDLE_MS = 2_000;
const PING_EVERY = 20;

const byId = (id) => document.getElementById(id);

/**
 * @param told the last event of each task so far, by task id; `watch` is given the listener for later ones
 * @param executor where the thumbnails are made: `thread` or `event-loop`
 */
export async function runBatch({ told, watch, executor }) {
  const progress = byId('progress');
  // The figures of the other executor stay, for comparison.
  const kind = executor === 'event-loop' ? 'blocked' : 'busy';
  byId('comparison').hidden = false;
  byId(kind).hidden = false;
  showRow('idle', []);
  showRow(kind, []);
  byId('chart').replaceChildren();
  byId('batch-note').textContent = '';

  progress.textContent = 'pinging the idle server …';
  const idle = await pingUntil(new Promise((resolve) => setTimeout(resolve, IDLE_MS)), PING_EVERY);
  showRow('idle', idle);

  const startedAt = performance.now();
  let answeredMs;
  const outcomes = [];
  async function makeThumbnails() {
    const response = await fetch(`/thumbnails${kind === 'blocked' ? '?executor=event-loop' : ''}`, { method: 'POST' });
    answeredMs = performance.now() - startedAt;
    const body = await response.json();
    if (!response.ok) throw new Error(body.error);
    await settled(body.tasks, told, watch, (outcome) => {
      outcomes.push(outcome);
      if (outcome.executor === 'worker-process')
        byId('busy').querySelector('.name').textContent = '20 in a worker process';
      progress.textContent = `${outcomes.length} of ${body.tasks.length} thumbnails`;
    });
  }
  const busy = await pingUntil(makeThumbnails(), PING_EVERY);
  const endedAt = performance.now();

  showRow(kind, busy);
  draw(idle, kind, busy, startedAt, endedAt);
  const places = [...new Set(outcomes.map(({ executor }) => executor.replace('-', ' ')))].join(', ');
  progress.textContent = `${outcomes.length} thumbnails in ${milliseconds(endedAt - startedAt)}`;
  byId('batch-note').textContent =
    `The request for the thumbnails was answered after ${milliseconds(answeredMs)}. They ran in: ${places}. ` +
    'Pings are measured in this page, which shares the machine with the server and has at most six connections to it.';
}

function settled(tasks, told, watch, onOutcome) {
  const open = new Set(tasks.map(({ id }) => id));
  return new Promise((resolve) => {
    const hear = (task) => {
      if (task.type !== 'settled' || !open.delete(task.id)) return;
      onOutcome(task);
      if (open.size === 0) resolve();
    };
    watch({ hear });
    for (const { id } of tasks) if (told.has(id)) hear(told.get(id));
  });
}

function showRow(id, pings) {
  const took = pings.map((each) => each.took);
  const numbers =
    took.length === 0
      ? ['–', '–', '–', '–']
      : [...[50, 99, 100].map((percent) => decimal(percentile(took, percent))), took.length];
  for (const [index, cell] of [...byId(id).querySelectorAll('td')].entries()) cell.textContent = numbers[index];
}

function decimal(value) {
  return value.toFixed(value < 100 ? 1 : 0);
}

const HEIGHT = 190;
const BOTTOM = 165;
const LEFT = 8;

function draw(idle, kind, busy, startedAt, endedAt) {
  const width = byId('chart').clientWidth;
  const from = Math.min(...idle.map(({ at }) => at));
  const highest = niceCeiling(Math.max(...[...idle, ...busy].map(({ took }) => took)));
  const x = (at) => LEFT + ((at - from) / (endedAt - from)) * (width - 2 * LEFT);
  const y = (took) => BOTTOM - (took / highest) * (BOTTOM - 24);
  const points = [...idle.map((each) => ['idle', each]), ...busy.map((each) => [kind, each])];
  byId('chart').replaceChildren(
    svg('rect', { class: 'span', x: x(startedAt), y: 0, width: x(endedAt) - x(startedAt), height: BOTTOM }),
    svg('line', { x1: 0, x2: width, y1: BOTTOM, y2: BOTTOM }),
    svg('line', { x1: 0, x2: width, y1: y(highest), y2: y(highest) }),
    svg('text', { x: LEFT, y: y(highest) - 6 }, `${highest} ms`),
    svg('text', { x: LEFT, y: HEIGHT - 6 }, 'idle'),
    svg('text', { x: x(startedAt) + 4, y: HEIGHT - 6 }, '20 thumbnails'),
    ...points.map(([of, { at, took }]) => svg('circle', { class: of, cx: x(at), cy: y(took), r: 2.6 })),
  );
}

function niceCeiling(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 5, 10].map((factor) => factor * step).find((ceiling) => ceiling >= value);
}

function svg(tag, attributes, text) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
