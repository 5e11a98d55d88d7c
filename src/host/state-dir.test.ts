import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readAlias, renamedAlias, StateDir, tapAlias } from './state-dir.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtepd-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('is made, and is one daemon’s until that lets it go', () => {
  const path = join(folder, 'a/b');
  const state = StateDir.take(path);
  const message = `--state-dir ${path}: another vtepd keeps its state there: stop it, or give each its own --state-dir`;
  expect(() => StateDir.take(path)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_STATE_DIR', message }));
  state.release();
  StateDir.take(path).release();
});

it.each([
  ['below a file', 'file/state', 'ENOTDIR'],
  ['a file itself', 'file', 'EACCES'],
  ['where nobody can write', '/proc/vtepd', 'ENOENT'],
])('is refused %s', (_, name, errno) => {
  writeFileSync(join(folder, 'file'), '');
  const path = name.startsWith('/') ? name : join(folder, name);
  const message = `--state-dir ${path}: it cannot be made or written (${errno}): let vtepd write there, or name another directory`;
  expect(() => StateDir.take(path)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_STATE_DIR', message }));
});

it('is known by the alias of its TAPs, which says how a renamed one was called', () => {
  const own = tapAlias('/var/lib/vtepd');
  expect(readAlias(own, own)).toEqual({ tap: undefined });
  expect(readAlias(renamedAlias(own, 'vxlan100'), own)).toEqual({ tap: 'vxlan100' });
  for (const other of ['', 'vtepd', tapAlias('/var/lib/vtepd-red'), tapAlias('/var/lib/vtepd and more/b'), `${own} `]) {
    expect(readAlias(other, own)).toBeUndefined();
  }
});
