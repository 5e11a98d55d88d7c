/** What came out: a row of values for each figure, printed as tables and written as JSON. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median } from './statistics.mjs';

export const RESULTS = 'bench/results';

const COLUMN = 10;

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {string} unit
 * @property {'more' | 'less'} better
 * @property {boolean} isCompared whether a ratio to the kernel says something
 *
 * @typedef {Figure & { raw: Record<string, number[]> }} Row values of all rounds, by kind of VTEP
 */

/** @returns {Figure} one of which more is better */
export const more = (name, unit) => ({ name, unit, better: 'more', isCompared: true });

/** @returns {Figure} one of which less is better */
export const less = (name, unit) => ({ name, unit, better: 'less', isCompared: true });

/** @returns {Figure} one that stands for itself: a share that is zero at best has no ratio, and the kernel's device no daemon */
export const alone = (name, unit) => ({ name, unit, better: 'less', isCompared: false });

export class Rows {
  #rows;

  /** @param {Figure[]} figures in the order in which they shall be shown */
  constructor(figures) {
    this.#rows = figures.map((figure) => ({ ...figure, raw: {} }));
  }

  add(figure, kind, value) {
    const { raw } = this.#rows.find(({ name }) => name === figure.name);
    raw[kind] = [...(raw[kind] ?? []), value];
  }

  /** @returns {Row[]} those that have a value */
  get filled() {
    return this.#rows.filter(({ raw }) => Object.keys(raw).length > 0);
  }
}

/** @param {Row} row @returns {number | undefined} */
export function middle(row, kind) {
  const values = row.raw[kind];
  return values && median(values);
}

/** vtepd's figure as a multiple of the kernel's. @param {Row} row @returns {number | undefined} */
export function ratio(row) {
  const [kernel, vtepd] = [middle(row, 'kernel'), middle(row, 'vtepd')];
  return row.isCompared && kernel && vtepd !== undefined ? vtepd / kernel : undefined;
}

/** @param {string} title @param {Row[]} rows */
export function printTable(title, rows) {
  const names = rows.map(({ name, unit }) => `${name}, ${unit}`);
  const width = Math.max(title.length, ...names.map((name) => name.length));
  console.log(`\n${title.padEnd(width)}${['kernel', 'vtepd', 'ratio'].map(right).join('')}`);
  for (const [i, row] of rows.entries()) {
    const cells = [show(middle(row, 'kernel')), show(middle(row, 'vtepd')), ratio(row)?.toFixed(2) ?? '–'];
    console.log(`${names[i].padEnd(width)}${cells.map(right).join('')}`);
  }
}

const right = (text) => text.padStart(COLUMN);

/** Three digits, which is more than the figures are worth. */
export function show(value) {
  if (value === undefined) return '–';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** Writes into the results' folder. @returns {string} the file's path */
export function writeResult(name, text) {
  mkdirSync(RESULTS, { recursive: true });
  const path = join(RESULTS, name);
  writeFileSync(path, text);
  return path;
}
