/**
 * Ratios as horizontal bars, the kernel's device being 1. An SVG of its own small make, on a card of its own colour, so that it can be read on
 * light and dark pages alike.
 */
import { middle, ratio, show } from './report.mjs';

const WIDTH = 860;
const MARGIN = 24;
const BARS_AT = 250;
const BARS_WIDTH = 420;
const BAR_HEIGHT = 11;
const ROW_GAP = 11;
const HEADING_HEIGHT = 42;
/** Where what is below the title begins. */
const TOP = 84;
const LEGEND_WIDTH = 110;

const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 }
  .heading { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 11px }
  .card { fill: #ffffff; stroke: #d1d9e0 }
  .grid { stroke: #e4e8ec }
  .kernel { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .first { fill: #0969da }
  .second { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .card { fill: #151b23; stroke: #3d444d }
    .grid { stroke: #2a313c }
    .kernel { stroke: #ff7b72 }
    .first { fill: #4493f8 }
    .second { fill: #3fb950 }
  }`;

const BAR_CLASSES = ['first', 'second'];

/**
 * @param {Record<string, import('./report.mjs').Row[]>} wires rows by wire
 * @param {{ title: string, subtitle: string }} texts
 * @returns {string}
 */
export function drawChart(wires, { title, subtitle }) {
  const parts = [text(MARGIN, 36, title, 'title'), text(MARGIN, 56, subtitle, 'quiet'), legend(Object.keys(wires))];
  let y = TOP;
  const panels = { more: 'Throughput – longer is better', less: 'Round trip – shorter is better' };
  for (const [better, heading] of Object.entries(panels)) {
    const panel = drawPanel(wires, { better, heading, y });
    parts.push(panel.svg);
    y = panel.end;
  }
  const height = y + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>${escapeXml(title)}</title>
<style>${STYLE}
</style>
<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>
${parts.join('\n')}
</svg>
`;
}

/** The figures of which more is better, or less, on a scale of their own. */
function drawPanel(wires, { better, heading, y }) {
  const bars = Object.values(wires).map((rows) =>
    rows.filter((row) => row.better === better && ratio(row) !== undefined),
  );
  const names = [...new Set(bars.flat().map(({ name }) => name))];
  if (names.length === 0) return { svg: '', end: y };
  const longest = Math.max(1, ...bars.flat().map(ratio));
  const step = [0.25, 0.5, 1, 2, 5, 10, 20, 50].find((each) => longest / each <= 7) ?? 100;
  const ticks = Math.ceil(longest / step);
  const x = (value) => BARS_AT + (value / (ticks * step)) * BARS_WIDTH;

  const top = y + HEADING_HEIGHT - 10;
  const rowHeight = bars.length * (BAR_HEIGHT + 1) + ROW_GAP;
  const bottom = top + names.length * rowHeight + 4;
  const parts = [text(MARGIN, y + 16, heading, 'heading')];
  for (let i = 0; i <= ticks; i++) {
    const at = x(i * step);
    parts.push(line(at, top, bottom, 'grid'), text(at, bottom + 14, `${i * step}`, 'quiet', 'middle'));
  }
  for (const [i, name] of names.entries()) {
    const rowTop = top + i * rowHeight + ROW_GAP;
    parts.push(text(BARS_AT - 10, rowTop + (rowHeight - ROW_GAP) / 2 + 4, name, '', 'end'));
    for (const [wire, rows] of bars.entries()) {
      const row = rows.find((each) => each.name === name);
      if (!row) continue;
      const barTop = rowTop + wire * (BAR_HEIGHT + 1);
      const width = x(ratio(row)) - BARS_AT;
      parts.push(
        `<rect class="${BAR_CLASSES[wire]}" x="${BARS_AT}" y="${barTop}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="1.5"/>`,
        text(BARS_AT + BARS_WIDTH + 14, barTop + BAR_HEIGHT - 1, caption(row), 'quiet'),
      );
    }
  }
  parts.push(line(x(1), top, bottom, 'kernel'), text(x(1), top - 5, 'kernel', 'quiet', 'middle'));
  return { svg: parts.join('\n'), end: bottom + 28 };
}

const caption = (row) =>
  `${show(ratio(row))} = ${show(middle(row, 'vtepd'))} : ${show(middle(row, 'kernel'))} ${row.unit}`;

/** At the right of the first heading. */
function legend(wires) {
  return wires
    .map((wire, i) => {
      const x = WIDTH - MARGIN - (wires.length - i) * LEGEND_WIDTH;
      const square = `<rect class="${BAR_CLASSES[i]}" x="${x}" y="${TOP + 8}" width="${BAR_HEIGHT}" height="${BAR_HEIGHT}" rx="1.5"/>`;
      return `${square}\n${text(x + BAR_HEIGHT + 5, TOP + 16, `${wire} wire`, 'quiet')}`;
    })
    .join('\n');
}

function text(x, y, content, style, anchor = 'start') {
  return `<text x="${round(x)}" y="${round(y)}" class="${style}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

function line(x, top, bottom, style) {
  return `<line class="${style}" x1="${round(x)}" x2="${round(x)}" y1="${top}" y2="${bottom}"/>`;
}

const round = (value) => Math.round(value * 10) / 10;

function escapeXml(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
