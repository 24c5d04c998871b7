// Draws lines over a common horizontal axis, in one panel or several below one another, as an SVG that is readable on
// light and dark pages: the colours follow the reader's scheme, and lines differ by their dashes as well.

export const WIDTH = 760;
export const MARGIN = { left: 62, right: 18 };
export const TITLE_HEIGHT = 58;
const PANEL = { height: 128, above: 30, below: 14 };
const LEGEND_LINE = 18;
const FOOT_HEIGHT = 40;
export const LETTER = 7.1;
const SWATCH = 22;
const LEGEND_GAP = 16;

const STYLE = `
  svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --grid: #e3e6ea; --s0: #0969da; --s1: #bc4c00; --s2: #1a7f37; --s3: #8250df; --s4: #bf3989; --s5: #7d6400; --s6: #1b7c83; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --grid: #2a313a; --s0: #58a6ff; --s1: #f0883e; --s2: #3fb950; --s3: #bc8cff; --s4: #f778ba; --s5: #d4a72c; --s6: #39c5cf; }
  }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif; fill: var(--ink); }
  .title { font-size: 16px; font-weight: 600; }
  .faint { fill: var(--faint); }
  .label { font-weight: 600; }
  .paper { fill: var(--paper); }
  .grid { stroke: var(--grid); }
  .axis { stroke: var(--faint); }
  .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
  .s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); } .s3 { stroke: var(--s3); }
  .s4 { stroke: var(--s4); } .s5 { stroke: var(--s5); } .s6 { stroke: var(--s6); }
  .bar { fill: var(--s0); } .bar.other { fill: var(--faint); opacity: 0.55; }
  .limit { stroke: var(--faint); stroke-width: 1.2; stroke-dasharray: 2 4; }
`;

const DASHES = ['', '7 3', '2 2', '9 3 2 3', '12 4', '4 2 1 2', '1 3'];

/**
 * @param xTicks pairs of a number and its text, instead of ticks that are chosen automatically.
 * @param isXLog whether the horizontal axis is logarithmic.
 * @param panels each with a `label`, its `series` and perhaps a fixed top, `yMax`, or `isLog`. A series has a `name`
 * and `points`, pairs of numbers in the order of x; one with `limit` instead of points is a level across the panel.
 * @returns the text of the SVG.
 */
export function plot({ title, subtitle, xLabel, xTicks, isXLog = false, panels }) {
  const xs = panels.flatMap(({ series }) => series.flatMap(({ points = [] }) => points.map(([x]) => x)));
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right];
  const x = isXLog
    ? logScale(Math.min(...xs), Math.max(...xs), left, right)
    : scale(Math.min(0, ...xs), Math.max(...xs), left, right);
  if (xTicks !== undefined) x.ticks = xTicks.map(([at]) => at);
  const text = new Map(xTicks);
  let bottom = TITLE_HEIGHT;
  const drawn = panels.map((panel) => {
    const top = bottom + PANEL.above + linesApart(panel) * LEGEND_LINE;
    bottom = top + PANEL.height + PANEL.below;
    return drawPanel(panel, x, top);
  });
  const content = `${drawn.join('\n')}
${x.ticks.map((tick) => `<text class="faint" x="${round(x(tick))}" y="${bottom + 4}" text-anchor="${x(tick) > right - MARGIN.right ? 'end' : 'middle'}">${escapeText(text.get(tick) ?? format(tick))}</text>`).join('\n')}
<text class="faint" x="${(left + right) / 2}" y="${bottom + 24}" text-anchor="middle">${escapeText(xLabel)}</text>`;
  return sheet({ title, subtitle, height: bottom + FOOT_HEIGHT, content });
}

/** What every plot is drawn on. */
export function sheet({ title, subtitle = '', height, content }) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeText(title)}">
<style>${STYLE}</style>
<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>
<text class="title" x="${MARGIN.left}" y="26">${escapeText(title)}</text>
<text class="faint" x="${MARGIN.left}" y="45">${escapeText(subtitle)}</text>
${content}
</svg>
`;
}

function drawPanel(panel, x, top) {
  const { label, series, yMax, isLog = false } = panel;
  const bottom = top + PANEL.height;
  const ys = series.flatMap(({ points = [], limit }) => [
    ...(limit === undefined ? [] : [limit]),
    ...points.map(([, y]) => y),
  ]);
  const highest = yMax ?? Math.max(...ys);
  const y = isLog
    ? logScale(Math.min(...ys), highest, bottom, top, { isRounded: true })
    : scale(0, highest, bottom, top, { isRounded: true });
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right];
  return [
    ...x.ticks.map(
      (tick) => `<line class="grid" x1="${round(x(tick))}" x2="${round(x(tick))}" y1="${top}" y2="${bottom}"/>`,
    ),
    ...y.ticks.flatMap((tick) => [
      `<line class="grid" x1="${left}" x2="${right}" y1="${round(y(tick))}" y2="${round(y(tick))}"/>`,
      `<text class="faint" x="${left - 8}" y="${round(y(tick) + 4)}" text-anchor="end">${format(tick)}</text>`,
    ]),
    `<path class="axis" fill="none" d="M${left} ${top}V${bottom}H${right}"/>`,
    `<text class="label" x="${left}" y="${top - 10 - linesApart(panel) * LEGEND_LINE}">${escapeText(label)}</text>`,
    ...series.map((one, index) => drawSeries(one, index, x, y, [left, right])),
    legend(panel, top - 10),
  ].join('\n');
}

function drawSeries({ points, limit }, index, x, y, [left, right]) {
  if (limit !== undefined)
    return `<line class="limit" x1="${left}" x2="${right}" y1="${round(y(limit))}" y2="${round(y(limit))}"/>`;
  const path = points.map(([px, py], at) => `${at === 0 ? 'M' : 'L'}${round(x(px))} ${round(y(py))}`).join('');
  return `<path class="line s${index % DASHES.length}"${dash(index)} d="${path}"/>`;
}

/** To the right, above the panel, in the order of the series. */
function legend(panel, bottom) {
  const lines = legendLines(panel);
  return lines.map((line, place) => legendLine(line, bottom - (lines.length - 1 - place) * LEGEND_LINE)).join('\n');
}

function legendLine(entries, y) {
  let right = WIDTH - MARGIN.right + LEGEND_GAP;
  return entries
    .toReversed()
    .map(({ name, limit, index }) => {
      const start = right - entryWidth(name);
      right = start;
      const look = limit === undefined ? `class="line s${index % DASHES.length}"${dash(index)}` : 'class="limit"';
      return `<line ${look} x1="${round(start)}" x2="${round(start + SWATCH)}" y1="${y - 4}" y2="${y - 4}"/><text x="${round(start + SWATCH + 6)}" y="${y}">${escapeText(name)}</text>`;
    })
    .join('\n');
}

const entryWidth = (name) => name.length * LETTER + SWATCH + 6 + LEGEND_GAP;
const widthOf = (entries) => entries.reduce((sum, { name }) => sum + entryWidth(name), 0);

/** As many lines as needed, none wider than the panel. */
function legendLines({ series }) {
  const lines = [[]];
  for (const [index, one] of series.entries()) {
    const entry = { ...one, index };
    if (widthOf([...lines.at(-1), entry]) > WIDTH - MARGIN.left - MARGIN.right) lines.push([]);
    lines.at(-1).push(entry);
  }
  return lines;
}

/** How many of them do not fit beside the label. */
function linesApart(panel) {
  const lines = legendLines(panel);
  const isBeside = panel.label.length * LETTER + widthOf(lines[0]) <= WIDTH - MARGIN.left - MARGIN.right;
  return lines.length - (isBeside ? 1 : 0);
}

function dash(index) {
  const dashes = DASHES[index % DASHES.length];
  return dashes === '' ? '' : ` stroke-dasharray="${dashes}"`;
}

/** From values to coordinates. If rounded, the axis ends at the tick above the highest value. */
function scale(low, high, from, to, { isRounded = false } = {}) {
  const step = stepOf((high - low || 1) / (isRounded ? 4 : 8));
  const end = isRounded ? Math.max(step, Math.ceil(high / step - 1e-9) * step) : high;
  const place = (value) => from + ((Math.min(value, end) - low) / (end - low || 1)) * (to - from);
  const ticks = [];
  for (let tick = Math.ceil(low / step); tick * step <= end + step * 1e-6; tick += 1) ticks.push(tick * step);
  return Object.assign(place, { ticks });
}

/** The same on a logarithmic scale, for values above zero. If rounded, the axis begins and ends at a power of ten. */
function logScale(low, high, from, to, { isRounded = false } = {}) {
  const [lowest, highest] = [Math.log10(low), Math.log10(high)];
  const begin = isRounded ? Math.floor(lowest + 1e-9) : lowest;
  const end = isRounded ? Math.max(begin + 1, Math.ceil(highest - 1e-9)) : highest;
  const place = (value) => from + ((Math.log10(value) - begin) / (end - begin || 1)) * (to - from);
  const ticks = [];
  for (let power = Math.ceil(begin - 1e-9); power <= end + 1e-9; power += 1) ticks.push(10 ** power);
  return Object.assign(place, { ticks });
}

/** The next of 1, 2, 5, 10, 20, … */
function stepOf(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
}

export const round = (value) => Math.round(value * 10) / 10;
export const format = (value) => Number(value.toPrecision(6)).toLocaleString('en');
export const escapeText = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
