/** Every relative link of the documents leads to a file, and to a heading of it. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const DOCUMENTS = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((name) => name !== '');

/** As GitHub makes them. */
function anchorsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8').replaceAll(/^```.*?^```/gms, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** What is wrong with the links of a document, a line each. */
function brokenLinks(document: string, text: string): string[] {
  const links = [...text.replaceAll(/^```.*?^```/gms, '').matchAll(/\]\((?!https?:)([^)\s]+)\)/g)];
  return links.flatMap(([, link = '']) => {
    const [path = '', anchor] = link.split('#', 2);
    const target = path === '' ? document : normalize(join(dirname(document), path));
    if (!existsSync(target)) return `${link}: no such file`;
    if (anchor === undefined || statSync(target).isDirectory()) return [];
    return anchorsOf(target).includes(anchor) ? [] : `${link}: no such heading`;
  });
}

test.each(DOCUMENTS)('%s', (document) => {
  expect(brokenLinks(document, readFileSync(document, 'utf8'))).toEqual([]);
});

describe('a link that is broken is found', () => {
  test.each(['[a](docs/nowhere.md)', '[a](README.md#no-such-heading)', '[a](#no-such-heading)'])('%s', (text) => {
    expect(brokenLinks('README.md', text)).toHaveLength(1);
  });
});
