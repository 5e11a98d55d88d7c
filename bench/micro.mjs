/**
 * `npm run bench:micro [-- REGEX]`: what single operations of the data path cost, without kernel or network, so without root. Rows are in
 * micro-rows.mjs. Figures are data and never a test.
 */
import { ensureBuilt, ensureNodeModules, fail } from '../scripts/setup.mjs';
import { describeMachine, describeVtepd } from './machine.mjs';
import { show, writeResult } from './report.mjs';
import { median } from './statistics.mjs';

const NAME_WIDTH = 52;

ensureNodeModules();
ensureBuilt();
// Not a static import: there may have been nothing to import until now.
const { ROWS } = await import('./micro-rows.mjs');

const [pattern = ''] = process.argv.slice(2);
const chosen = ROWS.filter(({ name }) => new RegExp(pattern, 'i').test(name));
if (chosen.length === 0) fail(`${pattern}: no row's name matches`);
const rows = [];
for (const { name, unit, samples } of chosen) {
  const raw = samples();
  rows.push({ name, unit, median: median(raw), raw });
  console.log(`${name.padEnd(NAME_WIDTH)}${show(median(raw)).padStart(10)} ${unit}`);
}
if (pattern === '') {
  const result = { date: new Date().toISOString(), vtepd: describeVtepd(), machine: describeMachine(), rows };
  console.log(`\n${writeResult('micro.json', `${JSON.stringify(result, null, 2)}\n`)}`);
}
