/** Tables of fixed widths that leave out columns on a narrow screen and rows on a short one; pure. */

import type { Style } from '../terminal/table.ts';
import { clip } from './top-text.ts';

export const GAP = '  ';

/** The size that a table must fit. */
export interface Room {
  readonly width: number;
  readonly style: Style;
  readonly utf8: boolean;
}

export interface Column<Row> {
  readonly heading: string;
  readonly width: number;
  /** If not all fit, those of the highest rank are left out. */
  readonly rank: number;
  readonly left?: true;
  cell(row: Row): string;
  isDoubtful?(row: Row): boolean;
}

/** A heading, and rows that are made when they are shown. */
export interface Section {
  readonly heading: string;
  readonly rows: readonly (() => string)[];
}

export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], room: Room): Section {
  const chosen = fitting(columns, room.width);
  const padded = (column: Column<Row>, text: string) => {
    const width = Math.min(column.width, room.width);
    const short = clip(text, { width, utf8: room.utf8 });
    return column.left ? short.padEnd(width) : short.padStart(width);
  };
  const cell = (column: Column<Row>, row: Row) => {
    const text = padded(column, column.cell(row));
    return column.isDoubtful?.(row) ? room.style.doubtful(text) : text;
  };
  const line = (cells: readonly string[]) => cells.join(GAP).trimEnd();
  return {
    heading: room.style.heading(line(chosen.map((column) => padded(column, column.heading)))),
    rows: rows.map((row) => () => line(chosen.map((column) => cell(column, row)))),
  };
}

function fitting<Row>(columns: readonly Column<Row>[], width: number): Column<Row>[] {
  const chosen = new Set<Column<Row>>();
  let used = -GAP.length;
  for (const column of columns.toSorted((a, b) => a.rank - b.rank)) {
    used += GAP.length + column.width;
    if (used > width && chosen.size > 0) break;
    chosen.add(column);
  }
  return columns.filter((column) => chosen.has(column));
}

/** The blank line above a section, and its heading. */
export const FRAME = 2;

export function sectionLines({ heading, rows }: Section, share: number, room: Room): string[] {
  const space = share - FRAME;
  if (space < 1) return [];
  // If there is only one line, a row is more useful than the number of rows.
  const isCut = rows.length > space && space > 1;
  const shown = rows.slice(0, isCut ? space - 1 : space).map((row) => row());
  const more = `${room.utf8 ? '…' : '...'} ${rows.length - shown.length} more`;
  return ['', heading, ...shown, ...(isCut ? [clip(more, room)] : [])];
}

/** So many lines in each turn: there are more VNIs than VTEPs, and more VTEPs than reasons to drop. */
const TURN = 2;

/** @param wanted lines of each section  @returns what each gets: all or, where they do not fit, a fair part; nothing where that were no row */
export function shareOut(wanted: readonly number[], space: number): number[] {
  if (wanted.reduce((sum, want) => sum + want, 0) <= space) return [...wanted];
  let left = space;
  const take = (lines: number) => {
    left -= lines;
    return lines;
  };
  const given = wanted.map(() => (left > FRAME ? take(FRAME + 1) : 0));
  for (let before = -1; before !== left; ) {
    before = left;
    for (const [index, want] of wanted.entries()) {
      const has = given[index] ?? 0;
      if (has > 0) given[index] = has + take(Math.min(index === 0 ? TURN : 1, want - has, left));
    }
  }
  return given;
}
