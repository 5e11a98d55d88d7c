import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ConfigSource } from './config-source.ts';

it('is the whole text, characters across chunks included', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vtepd-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'vtepd.yaml');
  const text = `#${'ü€'.repeat(50_000)}\n`;
  writeFileSync(path, text);
  expect(await new ConfigSource().read(path)).toBe(text);
  expect(await new ConfigSource().reread(path)).toBe(text);
});

it.each([
  ['/dev/null/absent', '--config /dev/null/absent: it cannot be read: ENOTDIR'],
  ['/', '--config /: it cannot be read: EISDIR'],
  ['/dev/zero', '--config /dev/zero: it has more than 16777216 bytes: name a YAML file'],
])('%s is refused', async (path, message) => {
  await expect(new ConfigSource().read(path)).rejects.toThrow(message);
});

it('a reading that does not come back is waited for so long, and not begun twice', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vtepd-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const source = new ConfigSource();
  await expect(source.reread(path, 100)).rejects.toThrow('it cannot be read within 0.1 s');
  await expect(source.reread(path, 100)).rejects.toThrow('an earlier read of it has not ended');
  writeFileSync(path, 'dev: eth0\n');
  await expect.poll(() => source.reread(path, 100).catch((error: Error) => error.message)).toContain('within');
  writeFileSync(path, '');
});
