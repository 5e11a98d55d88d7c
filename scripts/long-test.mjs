/**
 * `npm run fuzz -- --seconds N --seed S` and `npm run soak -- --minutes N --seed S`: tests that `npm test` runs at a small size, for as long as is asked for.
 * A run is repeated by its seed, which it prints.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { ensureBuilt, ensureNodeModules, ensureSystemPackages, isRoot, run } from './setup.mjs';

const KINDS = {
  fuzz: { files: ['src/worker/fuzz.test.ts', 'test/fuzz'], length: 'seconds', standard: '60', prefix: 'VTEPD_FUZZ' },
  soak: { files: ['test/soak'], length: 'minutes', standard: '10', prefix: 'VTEPD_SOAK' },
};

const [name, ...words] = process.argv.slice(2);
const { files, length, standard, prefix } = KINDS[name];
const { values } = parseArgs({
  args: words,
  options: {
    [length]: { type: 'string', default: standard },
    seed: { type: 'string', default: `${randomInt(2 ** 31)}` },
  },
});
for (const [option, text] of Object.entries(values)) {
  if (/^\d+$/.test(text)) continue;
  console.error(`${name}: --${option} ${text} is not a whole number`);
  process.exit(64);
}

if (isRoot) ensureSystemPackages({ ip: 'iproute2', ping: 'iputils-ping' });
else console.log('not root: what needs network namespaces is skipped');
ensureNodeModules();
ensureBuilt();
console.log(`${name}: ${values[length]} ${length}, seed ${values.seed}`);
process.env[`${prefix}_${length.toUpperCase()}`] = values[length];
process.env[`${prefix}_SEED`] = values.seed;
process.exit(run('node_modules/.bin/vitest', ['run', ...files]));
