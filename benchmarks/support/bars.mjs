// Draws numbers as bars, the first of them highlighted, in one panel or several.
import { escapeText, format, LETTER, MARGIN, round, sheet, TITLE_HEIGHT, WIDTH } from './plot.mjs';

const SHORTEST_NAMES = 150;
/** Between a name and its bar. */
const GAP = 10;
const BAR = { height: 16, stride: 24 };
const PANEL = { above: 34, below: 6 };
const VALUES = 80;

/** @param panels each with a `label` and its `bars`, of a `name` and a `value`. */
export function bars({ title, subtitle, panels }) {
  let bottom = TITLE_HEIGHT;
  const left = MARGIN.left + widthOfNames(panels);
  const drawn = panels.map(({ label, bars: of }) => {
    const top = bottom + PANEL.above;
    bottom = top + of.length * BAR.stride + PANEL.below;
    const longest = Math.max(...of.map(({ value }) => value));
    return [
      `<text class="label" x="${MARGIN.left}" y="${top - 12}">${escapeText(label)}</text>`,
      ...of.map((bar, index) => drawBar(bar, { index, left, y: top + index * BAR.stride, longest })),
    ].join('\n');
  });
  return sheet({ title, subtitle, height: bottom + PANEL.below, content: drawn.join('\n') });
}

/** Names may reach into the margin. */
function widthOfNames(panels) {
  const letters = Math.max(...panels.flatMap(({ bars: of }) => of.map(({ name }) => name.length)));
  return Math.max(SHORTEST_NAMES, letters * LETTER + 2 * GAP - MARGIN.left);
}

function drawBar({ name, value }, { index, left, y, longest }) {
  const width = (value / longest) * (WIDTH - MARGIN.right - VALUES - left);
  const middle = y + BAR.height - 4;
  return [
    `<text x="${round(left - GAP)}" y="${middle}" text-anchor="end">${escapeText(name)}</text>`,
    `<rect class="bar${index === 0 ? '' : ' other'}" x="${round(left)}" y="${y}" width="${round(width)}" height="${BAR.height}" rx="2"/>`,
    `<text class="faint" x="${round(left + width + 8)}" y="${middle}">${format(Number(value.toPrecision(3)))}</text>`,
  ].join('\n');
}
