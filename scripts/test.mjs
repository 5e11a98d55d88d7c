/**
 * `npm test`: sets the machine up, builds, and runs every test. Arguments go to vitest: `npm test -- src/wire`.
 * The last line is `N passed, N failed`, with `, N skipped` if any were.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureGobgp } from './gobgp.mjs';
import { ensureBuilt, ensureNodeModules, ensureSystemPackages, isRoot, run } from './setup.mjs';

const PACKAGES = {
  ip: 'iproute2',
  ping: 'iputils-ping',
  'ovs-vswitchd': 'openvswitch-switch',
  smcrouted: 'smcroute',
  gobgpd: 'gobgpd',
  nft: 'nftables',
  'iptables-save': 'iptables',
  sysctl: 'procps',
  'systemd-analyze': 'systemd',
  promtool: 'prometheus',
  tshark: 'tshark',
  mandoc: 'mandoc',
  groff: 'groff-base',
  zsh: 'zsh',
  fish: 'fish',
  vtysh: 'frr',
};

if (isRoot) ensureSystemPackages(PACKAGES);
else console.log('not root: the tests that need network namespaces are skipped');
ensureNodeModules();
if (isRoot) ensureGobgp();
ensureBuilt();

const folder = mkdtempSync(join(tmpdir(), 'vtepd-test-'));
const report = join(folder, 'report.json');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const exitCode = run('node_modules/.bin/vitest', ['run', ...reporters, ...process.argv.slice(2)]);
const totals = count(report);
rmSync(folder, { recursive: true, force: true });

const complaints = [];
if (totals.passed + totals.failed === 0) complaints.push('no test ran');
else if (exitCode !== 0 && totals.failed === 0) {
  // An unhandled error, or vitest itself: the run failed although no test did.
  complaints.push(`vitest ended with exit code ${exitCode} outside of any test`);
  totals.failed = 1;
}
if (process.env.CI && totals.skipped > 0) complaints.push('a skipped test is a failure when CI is set');

for (const complaint of complaints) console.error(`failed: ${complaint}`);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exit(totals.failed > 0 || complaints.length > 0 ? 1 : 0);

/** Reads vitest's JSON report. A file that fails as a whole, by a syntax error say, counts as one failed test. */
function count(file) {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for (const { status, assertionResults } of readReport(file)) {
    const results = assertionResults.map((test) => test.status);
    const failed = results.filter((result) => result === 'failed').length;
    const passed = results.filter((result) => result === 'passed').length;
    totals.passed += passed;
    totals.failed += status === 'failed' ? Math.max(failed, 1) : failed;
    totals.skipped += results.length - passed - failed;
  }
  return totals;
}

/** The results by file; none if vitest did not get as far as writing them. */
function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).testResults;
  } catch {
    return [];
  }
}
