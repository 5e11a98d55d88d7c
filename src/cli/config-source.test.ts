import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readConfigText } from './config-source.ts';

it('is the whole text, characters across chunks included', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vtepd-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'vtepd.yaml');
  const text = `#${'ü€'.repeat(50_000)}\n`;
  writeFileSync(path, text);
  expect(readConfigText(path)).toBe(text);
});

it.each([
  ['/dev/null/absent', '--config /dev/null/absent: it cannot be read: ENOTDIR'],
  ['/', '--config /: it cannot be read: EISDIR'],
  ['/dev/zero', '--config /dev/zero: it has more than 16777216 bytes: name a YAML file'],
])('%s is refused', (path, message) => {
  expect(() => readConfigText(path)).toThrow(message);
});
