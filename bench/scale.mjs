/**
 * `npm run scale`: many VNIs, many VTEPs, a table of a million MACs. It says how cost grows and what is held up meanwhile, for vtepd alone;
 * `npm run bench` compares it with the kernel. Figures are data and never a test: it fails only where something could not be measured at all.
 */
import { parseArgs } from 'node:util';
import { ensureGobgp } from '../scripts/gobgp.mjs';
import { ensureBuilt, ensureNodeModules, ensureSystemPackages, fail, isRoot } from '../scripts/setup.mjs';
import { buildLab, cleanUpOnExit, removeLab } from './lab.mjs';
import { confineToCores, describeMachine, describeVtepd } from './machine.mjs';
import { show, writeResult } from './report.mjs';

const HELP = `npm run scale -- [options]: vtepd with many VNIs, VTEPs and MACs

  --quick   about a minute: a tenth of everything; written to no file
  --evpn    only BGP EVPN: routes of many VTEPs, from gobgpd 3.36
  --help

Needs root. Figures are data: the exit code is 0 whatever they are, 1 if something
could not be measured, 64 if the command line is wrong.
`;

/** `macs` of each VTEP; `ageing` in seconds, long enough for all that is done with the full table. */
const FULL = {
  vnis: 1_000,
  vteps: 10_000,
  macs: 100,
  taps: 500,
  ageing: 150,
  pings: 3_000,
  routes: 100_000,
  floods: 2_000,
};
const QUICK = { vnis: 100, vteps: 1_000, macs: 100, taps: 50, ageing: 60, pings: 1_000, routes: 10_000, floods: 200 };

/** The code of a command line that is wrong (EX_USAGE, sysexits.h). */
const WRONG_USAGE = 64;

const { quick, evpn } = readOptions();
if (!isRoot) fail('it makes network namespaces and TAP devices: run it as root');
ensureSystemPackages({ ip: 'iproute2', ping: 'iputils-ping' });
ensureNodeModules();
ensureBuilt();
cleanUpOnExit();
confineToCores();
// Not static imports: there may have been nothing to import until now.
const { measureEvpn } = await import('./scale-evpn.mjs');
const { measureTaps } = await import('./scale-taps.mjs');
const { measureTrunk } = await import('./scale-trunk.mjs');

const size = quick ? QUICK : FULL;
const date = new Date().toISOString();
const [vtepd, machine] = [describeVtepd(), describeMachine()];
console.log(`vtepd ${vtepd.version} (${vtepd.commit}), Linux ${machine.kernel}, Node ${machine.node}`);
console.log(`${machine.cpu}, ${machine.cores} cores`);

const failures = [];
const count = (number) => number.toLocaleString('en');
const figure = (value) => (Number.isInteger(value) ? `${value}` : show(value));
const sections = [];
if (evpn) {
  ensureGobgp();
  sections.push(
    await section(
      `EVPN: ${count(size.routes)} MACs, ${count(size.floods)} VTEPs in one flood list, by gobgpd 3.36`,
      measureEvpn,
    ),
  );
} else {
  sections.push(
    await section(`${count(size.taps)} VNIs with a TAP and a group each`, measureTaps),
    await section(
      `${count(size.vnis)} VNIs on a trunk, ${count(size.vteps)} VTEPs with ${count(size.macs)} MACs each`,
      measureTrunk,
    ),
  );
}
if (!quick) {
  const result = { date, vtepd, machine, size, sections, failures };
  console.log(`\n${writeResult(evpn ? 'scale-evpn.json' : 'scale.json', `${JSON.stringify(result, null, 2)}\n`)}`);
}
for (const failure of failures) console.error(`failed: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);

/** One lab, and a line for each figure as it comes. */
async function section(title, measure) {
  console.log(`\n${title}`);
  const rows = [];
  const add = (name, unit, value) => {
    rows.push({ name, unit, value });
    console.log(`  ${name.padEnd(56)}${figure(value).padStart(10)} ${unit}`.trimEnd());
  };
  try {
    await measure(buildLab('offloading'), size, add);
  } catch (error) {
    failures.push(`${title}: ${error.message}`);
  } finally {
    removeLab();
  }
  return { title, rows };
}

function readOptions() {
  try {
    const options = {
      quick: { type: 'boolean', default: false },
      evpn: { type: 'boolean', default: false },
      help: { type: 'boolean' },
    };
    const { values } = parseArgs({ options });
    if (!values.help) return values;
    console.log(HELP);
    process.exit(0);
  } catch (error) {
    console.error(`scale: ${error.message.split(/[.\n]/, 1)[0]}; --help lists the options`);
    process.exit(WRONG_USAGE);
  }
}
