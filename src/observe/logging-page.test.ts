import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** docs/logging.md names every event with its levels, and none that is not logged. */
const SOURCES = new URL('../', import.meta.url);
const CALL = /\blog(?:ger)?\??\.(trace|debug|info|warn|error|fatal)\(\s*\{\s*event: ([^,}]+)/gi;
const ROW = /^\| `([a-z-]+)` +\| ((?:trace|debug|info|warn|error|fatal)(?:, \w+)*) +\|/gm;

function inSources(): string[] {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' });
  const code = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  return code.flatMap((file) => {
    const calls = readFileSync(new URL(file, SOURCES), 'utf8').matchAll(CALL);
    // One call may choose between two names.
    return [...calls].flatMap(([, level, names = '']) =>
      [...names.matchAll(/'([^']+)'/g)].map(([, event]) => `${event} ${level}`),
    );
  });
}

function onPage(): string[] {
  const page = readFileSync(new URL('../../docs/logging.md', import.meta.url), 'utf8');
  return [...page.matchAll(ROW)].flatMap(([, event, levels = '']) =>
    levels.split(', ').map((level) => `${event} ${level}`),
  );
}

test('the page has every event that is logged, once, and no other', () => {
  const logged = new Set(inSources());
  expect(logged).toContain('ready info');
  expect(onPage().toSorted()).toEqual([...logged].toSorted());
});
