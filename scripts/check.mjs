/**
 * `npm run check`: format, lint, types and import rules, one line each, with the tool's output only where it failed.
 * All steps run even if one fails. The last line is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { importRules, plantedViolations } from './import-rules.mjs';
import { ensureNodeModules } from './setup.mjs';

ensureNodeModules();

const steps = {
  'format and lint': () => tool('biome', ['check', '--error-on-warnings', '--colors=off', '.']),
  types: () => tool('tsc', ['-p', 'tsconfig.check.json', '--noEmit', '--pretty', 'false']),
  'import rules': importRules,
  'import rules can fail': plantedViolations,
};

let failed = 0;
for (const [name, step] of Object.entries(steps)) {
  const complaint = step();
  console.log(`${name}: ${complaint === '' ? 'ok' : 'failed'}`);
  if (complaint === '') continue;
  failed += 1;
  console.log(complaint);
}
console.log(`${Object.keys(steps).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

/** Runs a tool of node_modules. Returns an empty string if it is content, else what it said. */
function tool(name, args) {
  const { status, stdout, stderr, error } = spawnSync(`node_modules/.bin/${name}`, args, { encoding: 'utf8' });
  if (status === 0) return '';
  return `${stdout ?? ''}${stderr ?? ''}`.trim() || `${name}: ${error?.message ?? `exit code ${status}`}`;
}
