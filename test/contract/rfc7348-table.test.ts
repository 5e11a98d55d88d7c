/** docs/rfc7348.md names files and tests as its proof: they exist, and no case is without one. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CASES = Array.from({ length: 40 }, (_, i) => `T${i + 1}`);

interface Proof {
  readonly file: string;
  readonly title: string;
}

const page = readFileSync(`${ROOT}docs/rfc7348.md`, 'utf8');

/** The cells of each row of the table under a heading, its head left out. */
function tableUnder(heading: string): string[][] {
  const section = page.split(/^## /m).find((part) => part.startsWith(heading)) ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()));
}

/** A file between backticks and a test's title between quotes. */
function proofsIn(text: string): Proof[] {
  return [...text.matchAll(/`([^`]+\.test\.ts)` “([^”]+)”/g)].map(([, file = '', title = '']) => ({ file, title }));
}

const titlesByFile = new Map<string, readonly string[]>();

/** What a test file calls its tests: the first argument of a call, or the name of a row that becomes it. */
function titlesOf(file: string): readonly string[] {
  const known = titlesByFile.get(file);
  if (known) return known;
  const text = readFileSync(`${ROOT}${file}`, 'utf8');
  const titles = [...text.matchAll(/(?:\(|name:)\s*'([^'\n]+)',/g)].map(([, title = '']) => title);
  titlesByFile.set(file, titles);
  return titles;
}

/** The numbers that a title begins with: `T5, T30: …`. */
function casesOf(title: string): string[] {
  const [numbers = ''] = /^T\d+(, T\d+)*(?=: )/.exec(title) ?? [];
  return numbers.split(', ').filter((number) => number !== '');
}

describe('docs/rfc7348.md', () => {
  const requirements = tableUnder('Requirements');
  const cases = tableUnder('Cases');

  test('names tests that exist', () => {
    const proofs = proofsIn(page);
    expect(proofs.length).toBeGreaterThan(100);
    expect(proofs.filter(({ file, title }) => !titlesOf(file).includes(title))).toEqual([]);
    // Nothing that looks like a proof is left unread.
    expect(page.match(/\.test\.ts` “/g)).toHaveLength(proofs.length);
  });

  test('has a proof of every requirement that is not optional', () => {
    expect(requirements.length).toBeGreaterThan(30);
    const open = requirements.filter((cells) => proofsIn(cells.at(-2) ?? '').length === 0);
    expect(open.filter((cells) => cells.at(-2) !== 'optional')).toEqual([]);
  });

  test('covers every section', () => {
    const sections = new Set(requirements.map(([, section]) => section));
    expect([...sections]).toEqual(['4', '4.1', '4.2', '4.3', '5', '6', '6.1', '7']);
  });

  test('has each case once, in order', () => {
    expect(cases.map(([, number]) => number)).toEqual(CASES);
  });

  test.each(CASES)('%s has a test of that number, or a reason why not', (number) => {
    const row = cases.find(([, name]) => name === number) ?? [];
    const proofs = proofsIn(row.at(-2) ?? '');
    if (proofs.length === 0) expect(row.at(-2)).toMatch(/^not applicable: \w/);
    expect(proofs.filter(({ title }) => !casesOf(title).includes(number))).toEqual([]);
  });
});
