/** `npm run build`: src/ to dist/. */
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { fail, run } from './setup.mjs';

if (!existsSync('node_modules/.bin/tsc')) fail('node_modules is missing: run npm ci');

// A sibling of dist/ that takes its place when complete: a failed build leaves the last good one, a renamed source leaves
// no stale output, and the relative paths in the source maps hold.
const fresh = mkdtempSync('dist.tmp-');
const stale = `${fresh}.old`;
let status = 1;
try {
  status = run('node_modules/.bin/tsc', ['-p', 'tsconfig.json', '--outDir', fresh, '--noEmitOnError']);
  if (status === 0) swap();
} finally {
  rmSync(fresh, { recursive: true, force: true });
  rmSync(stale, { recursive: true, force: true });
}
process.exit(status);

function swap() {
  if (existsSync('dist')) renameSync('dist', stale);
  renameSync(fresh, 'dist');
}
