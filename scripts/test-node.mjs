/**
 * `npm run test:node`: some minutes of the tests on each line of Node.js that vtepd is for, beginning with the oldest release.
 * The runtimes are npm packages, fetched into a folder that is removed again. `-- 22` runs one line. Without root the part
 * with namespaces is skipped. The last line is `N passed, N failed`, of runtimes.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt, ensureNodeModules, run } from './setup.mjs';

const LINES = ['20.19.0', '22', '24'];
/** Where runtimes differ: system calls, parsing, the API, what threads share. */
const UNIT = ['src/sys', 'src/config', 'src/wire', 'src/fdb', 'src/api', 'src/cli', 'src/host', 'src/vtep'];
/** What the garbage collector sees of a worker; daemons that flood, learn, reload, serve HTTP, cut and merge super-frames, and stop. */
const HOSTS = [
  'daemon/http-api',
  'daemon/lifecycle',
  'daemon/persist',
  'forwarding/flood-and-learn',
  'live/config-file',
  'offload/offload-trains',
  'workers/workers',
];
const SYSTEM = ['test/fdb', 'test/overlay', 'test/worker', ...HOSTS.map((name) => `test/netns/${name}.test.ts`)];

const asked = process.argv.slice(2);
ensureNodeModules();
ensureBuilt();

let failed = 0;
const lines = asked.length > 0 ? asked : LINES;
for (const line of lines) {
  const folder = mkdtempSync(join(tmpdir(), 'vtepd-node-'));
  try {
    const ok = test(line, folder);
    if (!ok) failed += 1;
    console.log(`Node.js ${line}: ${ok ? 'ok' : 'failed'}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
console.log(`${lines.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

function test(line, folder) {
  // Packed and not installed: then no script of it runs.
  if (run('npm', ['pack', '--silent', '--pack-destination', folder, `node-linux-${process.arch}@${line}`]) !== 0)
    return false;
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  const bin = join(folder, 'package/bin');
  mkdirSync(bin, { recursive: true });
  if (run('tar', ['-xzf', join(folder, archive), '-C', folder, 'package/bin/node']) !== 0) return false;
  // Tests start the daemon with the runtime that they run on; launchers find it by PATH.
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const node = join(bin, 'node');
  if (run(node, ['--version']) !== 0) return false;
  return run(node, ['node_modules/vitest/vitest.mjs', 'run', ...UNIT, ...SYSTEM], { env }) === 0;
}
