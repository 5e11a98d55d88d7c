/** Text output for people: tables, `key: value` lines, and the little colour there is. */

import { styleText } from 'node:util';

/** How headings and verdicts look; without colour, the text itself. */
export interface Style {
  heading(text: string): string;
  good(text: string): string;
  doubtful(text: string): string;
  bad(text: string): string;
}

const plain = (text: string) => text;
const inFormat = (format: Parameters<typeof styleText>[0]) => (text: string) =>
  styleText(format, text, { validateStream: false });

export const PLAIN: Style = { heading: plain, good: plain, doubtful: plain, bad: plain };
export const COLOURED: Style = {
  heading: inFormat('bold'),
  good: inFormat('green'),
  doubtful: inFormat('yellow'),
  bad: inFormat(['bold', 'red']),
};

/** Colour only on a terminal that takes it, and never with NO_COLOR (no-color.org). */
export function styleFor(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): Style {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb' ? COLOURED : PLAIN;
}

export type Cell = string | number | null;

/** Left-aligned columns, two spaces apart, no trailing spaces; null and the empty text show as `-`. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[], style: Style): string {
  const texts = rows.map((row) => row.map(cellText));
  const widths = headings.map((heading, column) =>
    texts.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), heading.length),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [style.heading(line(headings)), ...texts.map(line)].map((text) => `${text}\n`).join('');
}

/** One `key: value` line each; null and the empty text show as `-`. */
export function keyValueLines(pairs: readonly (readonly [string, Cell])[], style: Style): string {
  return pairs.map(([key, value]) => `${style.heading(`${key}:`)} ${cellText(value)}\n`).join('');
}

/** Names are free text: a control character in one must not reach the terminal. */
export function cellText(cell: Cell): string {
  if (cell === null || cell === '') return '-';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
  return String(cell).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
