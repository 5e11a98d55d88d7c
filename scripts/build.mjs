/** `npm run build`: src/ and assembly/ to dist/. */
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { fail, run } from './setup.mjs';

const [tsc, asc] = ['node_modules/.bin/tsc', 'node_modules/.bin/asc'];
if (![tsc, asc].every((tool) => existsSync(tool))) fail('node_modules is missing or out of date: run npm ci');

// The module's memory is a slab: imported, of whatever size, and nobody else's, so without a runtime that would keep state in it.
const MEMORY = ['--importMemory', '--noExportMemory', '--runtime', 'stub'];
const ASSEMBLY = ['assembly/octet-sums.ts', '-O3', '--noAssert', '--enable', 'simd', ...MEMORY];

// A sibling of dist/ that takes its place when complete: a failed build leaves the last good one, a renamed source leaves
// no stale output, and the relative paths in the source maps hold.
const fresh = mkdtempSync('dist.tmp-');
const stale = `${fresh}.old`;
let status = 1;
try {
  status = run(tsc, ['-p', 'tsconfig.json', '--outDir', fresh, '--noEmitOnError']);
  if (status === 0) status = run(asc, [...ASSEMBLY, '--outFile', `${fresh}/wire/octet-sums.wasm`]);
  if (status === 0) swap();
} finally {
  rmSync(fresh, { recursive: true, force: true });
  rmSync(stale, { recursive: true, force: true });
}
process.exit(status);

function swap() {
  // mkdtemp lets only its maker in; the service runs as another user.
  chmodSync(fresh, 0o755);
  if (existsSync('dist')) renameSync('dist', stale);
  renameSync(fresh, 'dist');
}
