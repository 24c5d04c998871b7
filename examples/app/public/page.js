/** The page: sends a photograph, and shows what happens after the response. */
import { runBatch } from './batch.js';
import { element, milliseconds } from './dom.js';
import { ping } from './ping.js';
import { Timeline } from './timeline.js';
import { showBlock } from './watchdog.js';

const PING_EVERY = 500;
const CATCH_UP_EVERY = 1_000;
const LIVE = ['held', 'waiting', 'running', 'retrying'];
const LOST = { state: 'lost', error: { message: 'the server that kept it in memory has ended' } };
const LARGEST_PHOTO = 10 * 1024 * 1024;

const byId = (id) => document.getElementById(id);
const form = byId('upload');
const samples = byId('samples');
const file = byId('file');

/** The last event of each task, and each mail: they may arrive before the response is read. */
const told = new Map();
const mails = new Map();
/** The upload that is shown, with its tasks by name. */
let shown;
let batch;
let nextCatchUp;

const events = new EventSource('/events');
events.addEventListener('open', () => byId('connection').setAttribute('class', 'dot on'));
events.addEventListener('error', () => byId('connection').setAttribute('class', 'dot off'));
events.addEventListener('open', catchUp);
for (const type of ['started', 'retrying', 'settled']) {
  events.addEventListener(type, ({ data }) => hear({ type, ...JSON.parse(data) }));
}
events.addEventListener('blocked', ({ data }) => showBlock(JSON.parse(data)));
events.addEventListener('mail', ({ data }) => {
  const mail = JSON.parse(data);
  mails.set(mail.requestId, mail);
  if (mail.requestId === shown?.id) showMail(mail);
});

function hear(task) {
  told.set(task.id, task);
  batch?.hear(task);
  if (shown?.tasks.some(({ id }) => id === task.id)) showTask(task);
}

/** Asks for what was missed while the connection was down. A restarted server sends events of its own tasks only. */
async function catchUp() {
  clearTimeout(nextCatchUp);
  const open = (shown?.tasks ?? []).filter(({ id }) => told.get(id)?.type !== 'settled');
  for (const { id, name } of open) {
    const response = await fetch(`/tasks/${id}`).catch(() => undefined);
    if (response?.status === 404) hear({ type: 'settled', id, name, ...LOST });
    if (!response?.ok) continue;
    const task = await response.json();
    // An engine knows the outcome of its task, but not how long it took.
    if (!LIVE.includes(task.state)) hear({ type: 'settled', executor: 'worker-process', ...task });
  }
  if (open.length > 0) nextCatchUp = setTimeout(catchUp, CATCH_UP_EVERY);
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  byId('problem').hidden = true;
  if (file.files[0]?.size > LARGEST_PHOTO) return showProblem('A photograph may have 10 MB at most.');
  const data = new FormData(form);
  if (file.files.length === 0) data.delete('photo');

  const sentAt = performance.now();
  try {
    const response = await fetch('/uploads', { method: 'POST', body: data });
    const tookMs = performance.now() - sentAt;
    const body = await response.json();
    if (response.ok) showResponse(response, body, tookMs);
    else showProblem(body.error);
  } catch {
    showProblem('The server did not answer.');
  }
});

function showProblem(text) {
  byId('problem').textContent = text;
  byId('problem').hidden = false;
}

function showResponse(response, upload, tookMs) {
  shown = { ...upload, tookMs, timeline: new Timeline(byId('rows'), byId('axis'), upload.tasks) };
  byId('response-time').textContent = milliseconds(tookMs);
  byId('response-text').textContent =
    `from sending ${upload.name} to the response, ${response.status}. The rest came after it:`;
  byId('inline-cost').textContent = '';
  for (const name of ['thumbnail', 'mail', 'audit', 'record']) fill(name, '', 'waiting …');
  byId('result').hidden = false;
  for (const { id } of upload.tasks) if (told.has(id)) showTask(told.get(id));
  if (mails.has(upload.id)) showMail(mails.get(upload.id));
}

function showTask(task) {
  shown.timeline.update(task);
  if (task.type !== 'settled') return;
  if (task.error !== undefined) fill(task.name, 'here bad', `${task.state}: ${task.error.message}`);
  else if (task.name === 'thumbnail') showThumbnail(task.value);
  else if (task.name === 'audit') fill('audit', 'here', element('pre', {}, task.value.line));
  else if (task.name === 'record') fill('record', 'here', element('pre', {}, JSON.stringify(task.value, undefined, 2)));
  showInlineCost();
}

function showThumbnail({ width, height, bytes, palette }) {
  const image = element('img', { src: shown.thumbnail, alt: `Thumbnail of ${shown.name}`, width, height });
  const caption = `${width} × ${height}, ${(bytes / 1024).toFixed(1)} kB, WebP; the palette is of the whole photograph`;
  fill('thumbnail', 'here', image, swatches(palette), element('p', { class: 'caption' }, caption));
}

function swatches(palette) {
  // Attributes of SVG need no inline style, which the page's content security policy forbids.
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('class', 'palette');
  svg.setAttribute('viewBox', `0 0 ${palette.length} 1`);
  svg.setAttribute('preserveAspectRatio', 'none');
  for (const [index, color] of palette.entries()) {
    const swatch = document.createElementNS(ns, 'rect');
    // A little wider than 1, so that no gap shows.
    for (const [name, value] of Object.entries({ x: index, width: 1.02, height: 1, fill: color })) {
      swatch.setAttribute(name, value);
    }
    svg.append(swatch);
  }
  return svg;
}

function showMail({ from, to, subject, text }) {
  const head = [
    ['from', from],
    ['to', to.join(', ')],
    ['subject', subject],
  ];
  const list = element(
    'dl',
    {},
    ...head.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  );
  fill('mail', 'here', list, element('pre', {}, text.trim()));
}

/** Shows nothing if a time is unknown. */
function showInlineCost() {
  const settled = shown.tasks.map(({ id }) => told.get(id)).filter((task) => task?.type === 'settled');
  if (settled.length < shown.tasks.length) return;
  const ranMs = settled.reduce((sum, task) => sum + task.ranMs, 0);
  if (Number.isNaN(ranMs)) return;
  byId('inline-cost').textContent =
    `Awaited one after the other in the handler, the same work would have made the response take ${milliseconds(shown.tookMs + ranMs)}.`;
}

function fill(name, state, ...content) {
  const slot = byId(name).querySelector('.slot');
  slot.setAttribute('class', `slot ${state}`);
  slot.replaceChildren(...content);
}

byId('batch').addEventListener('click', async ({ currentTarget: button }) => {
  button.disabled = true;
  try {
    const executor = byId('on-event-loop').checked ? 'event-loop' : 'thread';
    await runBatch({ told, watch: (watcher) => (batch = watcher), executor });
  } catch (error) {
    byId('progress').textContent = error.message;
  } finally {
    batch = undefined;
    button.disabled = false;
  }
});

file.addEventListener('change', () => samples.classList.toggle('passive', file.files.length > 0));
// A click on the sample that was chosen before the file is no change.
for (const type of ['change', 'click']) samples.addEventListener(type, chooseSample);

function chooseSample() {
  file.value = '';
  samples.classList.remove('passive');
}

async function showSamples() {
  const names = await (await fetch('/samples')).json();
  samples.replaceChildren(
    ...names.map((name, index) => {
      const radio = element('input', { type: 'radio', name: 'sample', value: name });
      radio.checked = index === 0;
      return element('label', { title: name }, radio, element('img', { src: `/photos/${name}`, alt: name }));
    }),
  );
}

async function keepPinging() {
  const took = await ping().catch(() => undefined);
  byId('ping').textContent = took === undefined ? 'no answer' : milliseconds(took);
  setTimeout(keepPinging, PING_EVERY);
}

showSamples();
keepPinging();
