/**
 * `npm run bench`: vtepd beside the kernel's own vxlan device, in the same lab and the same run, in turns. Prints ratios. Figures are data and
 * never a test: this says how fast, not whether it works. It fails only where something could not be measured at all.
 */
import { ensureBuilt, ensureNodeModules, ensureSystemPackages, fail, isRoot } from '../scripts/setup.mjs';
import { drawChart } from './chart.mjs';
import { idle, memory, startUp } from './daemon.mjs';
import { cleanUpOnExit } from './lab.mjs';
import { confineToCores, describeMachine, describeTraffic, describeVtepd } from './machine.mjs';
import { readOptions } from './options.mjs';
import { alone, less, more, printTable, writeResult } from './report.mjs';
import { measureDaemon, measureWire } from './rounds.mjs';
import { loss, roundTrips, tcp, udp } from './traffic.mjs';

/** How long each measure lasts. */
const FULL = { tcp: 4, udp: 3, pings: 3000, starts: 3, idle: 10, warmUp: 1 };
const QUICK = { tcp: 2, udp: 2, pings: 1000, starts: 1, idle: 3, warmUp: 1 };

/** What is measured of a pair of VTEPs, on each wire: `take` returns the figures by their keys. `quick` ones are in a quick run too. */
const WIRE_MEASURES = [
  {
    figures: { gbps: more('TCP, 1 stream', 'Gb/s'), cpuPerGb: alone('CPU of both daemons, TCP, 1 stream', 's/GB') },
    take: (pair, time) => tcp(pair, { streams: 1, seconds: time.tcp }),
    quick: true,
  },
  {
    figures: { gbps: more('TCP, 8 streams', 'Gb/s') },
    take: (pair, time) => tcp(pair, { streams: 8, seconds: time.tcp }),
    quick: true,
  },
  {
    figures: { gbps: more('TCP over IPv6, 1 stream', 'Gb/s') },
    take: (pair, time) => tcp(pair, { streams: 1, seconds: time.tcp, inner: 6 }),
  },
  {
    figures: { gbps: more('TCP over IPv6, 8 streams', 'Gb/s') },
    take: (pair, time) => tcp(pair, { streams: 8, seconds: time.tcp, inner: 6 }),
  },
  {
    figures: { kpps: more('UDP 64 B, 1 flow', 'kpps') },
    take: (pair, time) => udp(pair, { flows: 1, octets: 64, seconds: time.udp }),
    quick: true,
  },
  {
    figures: { kpps: more('UDP 64 B, 8 flows', 'kpps') },
    take: (pair, time) => udp(pair, { flows: 8, octets: 64, seconds: time.udp }),
  },
  {
    figures: { gbps: more('UDP 1400 B, 1 flow', 'Gb/s') },
    take: (pair, time) => udp(pair, { flows: 1, octets: 1400, seconds: time.udp }),
  },
  {
    figures: {
      percent: alone('UDP 64 B, loss at 100 kpps', '%'),
      overrunPercent: alone('UDP 64 B, of it at the receiving socket', '%'),
      offeredKpps: alone('UDP 64 B, offered for the loss', 'kpps'),
    },
    take: (pair, time) => loss(pair, { octets: 64, seconds: time.udp }),
  },
  {
    figures: { p50: less('Round trip at 1 kHz, p50', 'µs'), p99: less('Round trip at 1 kHz, p99', 'µs') },
    take: (pair, time) => roundTrips(pair, { count: time.pings }),
    quick: true,
  },
];

/** What is measured of a daemon by itself. */
const DAEMON_MEASURES = [
  {
    figures: { readyMs: alone('Start to ready', 'ms') },
    take: (hosts, flags, time) => startUp(hosts, flags, { starts: time.starts }),
    quick: true,
  },
  {
    figures: { residentMb: alone('Resident memory with 10,000 MACs', 'MB') },
    take: (hosts, flags) => memory(hosts, flags, { macs: 10_000 }),
    quick: true,
  },
  {
    figures: { percent: alone('Idle, share of a core', '%') },
    take: (hosts, flags, time) => idle(hosts, flags, { seconds: time.idle }),
  },
];

const namesOf = (measure) => Object.values(measure.figures).map(({ name }) => name);
const options = readOptions(process.argv.slice(2), [...WIRE_MEASURES, ...DAEMON_MEASURES].flatMap(namesOf));

if (!isRoot) fail('the bench makes network namespaces and TAP devices: run it as root, with iperf3 installed');
ensureSystemPackages({ ip: 'iproute2', iperf3: 'iperf3', ethtool: 'ethtool', ping: 'iputils-ping' });
ensureNodeModules();
ensureBuilt();
cleanUpOnExit();
confineToCores();

const begin = new Date();
const vtepd = describeVtepd();
const machine = { ...describeMachine(), ...describeTraffic() };
const about = `vtepd ${vtepd.version} (${vtepd.commit}), Linux ${machine.kernel}, Node ${machine.node}`;
console.log(`${about}\n${machine.cpu}, ${machine.cores} cores, TCP ${machine.congestionControl}`);

const run = { ...options, time: options.quick ? QUICK : FULL, failures: [] };
const chosen = (measures) =>
  measures.filter(
    (measure) => (measure.quick || !options.quick) && namesOf(measure).some((name) => options.only.test(name)),
  );

const wires = {};
for (const wire of options.wires) wires[wire] = await measureWire(wire, chosen(WIRE_MEASURES), run);
const daemon = await measureDaemon(chosen(DAEMON_MEASURES), run);

const median = options.rounds === 1 ? '1 round' : `median of ${options.rounds}`;
for (const [wire, rows] of Object.entries(wires)) if (rows.length > 0) printTable(`${wire} wire, ${median}`, rows);
if (daemon.length > 0) printTable(`one daemon, ${median}`, daemon);
if (options.quick) console.log('\nquick: one round of short runs, the figures are rough');

const { quick, rounds, daemonFlags, isWhole } = options;
const result = { date: begin.toISOString(), vtepd, machine, options: { quick, rounds, daemonFlags }, wires, daemon };
const json = `${JSON.stringify({ ...result, failures: run.failures }, null, 2)}\n`;
console.log(`\n${writeResult(`${begin.toISOString().slice(0, 19).replaceAll(':', '-')}Z.json`, json)}`);
if (isWhole && run.failures.length === 0) {
  const title = `vtepd beside the Linux kernel's vxlan device – ${begin.toISOString().slice(0, 10)}`;
  const subtitle = `${about} · ${machine.cpu}, ${machine.cores} cores · ${median}`;
  console.log(writeResult('latest.json', json));
  console.log(writeResult('latest.svg', drawChart(wires, { title, subtitle })));
}
for (const failure of run.failures) console.error(`failed: ${failure}`);
process.exit(run.failures.length > 0 ? 1 : 0);
