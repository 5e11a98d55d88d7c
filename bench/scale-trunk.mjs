/** A thousand VNIs on one trunk, filled by ten thousand simulated VTEPs: what learning, a full table, showing it and ageing it out cost. */
import { ask } from './control-socket.mjs';
import { finish, forgetPeak, ip, pause, peakBytes, residentBytes, start } from './processes.mjs';
import { roundTrips, roundTripsDuring } from './traffic.mjs';
import { DEVICE, entryWith, KINDS, startDaemon, stopDaemon } from './vteps.mjs';

const READY_PATIENCE_MS = 60_000;
const FILL_PATIENCE_MS = 240_000;
const SHOW_PATIENCE_MS = 60_000;
const SWEEP_PATIENCE_MS = 180_000;
const SETTLE_MS = 1_000;

/** Passes after the first, at this share of the rate at which the first was learned, until all MACs are known. */
const FURTHER_PASSES = 5;
const FURTHER_RATE = 0.5;

/** MACs that are not of simulated VTEPs: those of the flow, of its TAP and what else the two hosts say. */
const OWN_MACS = 8;

const FIRST_VNI = 1_000;
const VNIS_PER_VTEP = 10;

/**
 * @param {import('./lab.mjs').Host[]} hosts the second has the kernel's device, and the simulated VTEPs beside it
 * @param {{ vnis: number, vteps: number, macs: number, ageing: number, pings: number }} size
 * @param {(name: string, unit: string, value: number) => void} add takes a figure
 */
export async function measureTrunk([near, far], size, add) {
  const vnis = Array.from({ length: size.vnis - 1 }, (_, i) => FIRST_VNI + i);
  const flags = ['--trunk', DEVICE, '--ageing', `${size.ageing}`];
  for (const [i, vni] of vnis.entries()) flags.push('--vni', `${vni},vlan=${i + 1}`);
  // The flow's VNI is the trunk's untagged one, since tags take a VLAN device that not every kernel has.
  const options = { entry: entryWith(',vlan=0'), patienceMs: READY_PATIENCE_MS };
  const { daemon, readyMs } = await startDaemon(near, flags, options);
  add('Start to ready', 'ms', readyMs);
  try {
    KINDS.kernel.start(far);
    for (const host of [near, far]) ip('-n', host.namespace, 'addr', 'add', `${host.inner4}/24`, 'dev', DEVICE);
    const pair = { hosts: [near, far] };
    const total = size.vteps * size.macs;
    const addTimes = ({ p50, p99 }, when) => {
      add(`Round trip ${when}, p50`, 'µs', p50);
      add(`Round trip ${when}, p99`, 'µs', p99);
    };

    await roundTrips(pair, { count: size.pings });
    addTimes(await roundTrips(pair, { count: size.pings }), 'beside an empty table');
    add('Resident, empty table', 'MB', residentBytes(daemon.pid) / 1e6);
    const { begin: firstHeard, end: lastHeard } = await fill([near, far], { ...size, vnis, total }, add);
    add('Resident, full table', 'MB', residentBytes(daemon.pid) / 1e6);
    addTimes(await roundTrips(pair, { count: size.pings }), 'beside a full table');

    for (const [form, words] of [
      ['JSON', ['--json']],
      ['text', []],
    ]) {
      const during = await roundTripsDuring(pair, () => show(near, daemon, words));
      add(`fdb show, ${form}`, 's', during.value.seconds);
      add(`fdb show, ${form}: longest wait of another request`, 'ms', during.value.longestMs);
      add(`fdb show, ${form}: vtepd, at most more`, 'MB', during.value.daemonBytes / 1e6);
      add(`fdb show, ${form}: vtepctl, at most`, 'MB', during.value.clientBytes / 1e6);
      addTimes(during, `during fdb show, ${form}`);
    }

    const [firstExpiry, lastExpiry] = [firstHeard, lastHeard].map((heard) => heard + 1000 * size.ageing);
    if (performance.now() > firstExpiry) throw new Error('the table began to expire before all was measured');
    await pause(firstExpiry - performance.now());
    const during = await roundTripsDuring(pair, () => swept(near, lastExpiry));
    add('First expiry to all swept', 's', (during.value - firstExpiry) / 1000);
    add('Last expiry to all swept', 's', (during.value - lastExpiry) / 1000);
    addTimes(during, 'during the sweep');
    add('Resident, swept table', 'MB', residentBytes(daemon.pid) / 1e6);
  } finally {
    const begin = performance.now();
    await stopDaemon(daemon);
    add('Stop', 'ms', performance.now() - begin);
    KINDS.kernel.stop(far);
  }
}

/** Teaches the daemon all MACs. @returns {Promise<{ begin: number, end: number }>} when they were heard last */
async function fill(hosts, size, add) {
  const [near] = hosts;
  const before = await state(near);
  let heard = await pass(hosts, size, 0);
  const { sent, seconds } = heard;
  const after = await state(near);
  const learned = after.macs - before.macs;
  const rate = learned / seconds;
  add('Offered, first pass', '1/s', sent / seconds);
  add('Learned, first pass', '1/s', rate);
  add('Lost, first pass', '%', (100 * (sent - learned)) / sent);
  add('of it at the socket', '%', (100 * (after.overrun - before.overrun)) / sent);
  let { macs } = after;
  for (let i = 0; i < FURTHER_PASSES && macs < size.total; i++) {
    heard = await pass(hosts, size, rate * FURTHER_RATE);
    macs = (await state(near)).macs;
  }
  if (macs < size.total) throw new Error(`only ${macs} of ${size.total} MACs were learned`);
  add('MACs', '', macs);
  add('VTEPs', '', (await ask(near, '/v1/status')).vteps);
  return heard;
}

/** Every datagram once. Returns when the daemon has dealt with what it was given. */
async function pass([near, far], { vteps, macs, vnis }, perSecond) {
  const [{ address: mac }] = JSON.parse(ip('-n', near.namespace, '-j', 'link', 'show', 'eth0'));
  const plan = { device: 'eth0', mac, address: near.address, vteps, macs, vnis, vnisPerVtep: VNIS_PER_VTEP, perSecond };
  const words = [process.execPath, 'bench/simulated-vteps.mjs', JSON.stringify(plan)];
  const begin = performance.now();
  const output = await finish(start(far.namespace, words), 'the simulated VTEPs', FILL_PATIENCE_MS);
  // What waits in the socket now is little beside what was sent.
  const end = performance.now();
  await pause(SETTLE_MS);
  return { ...JSON.parse(output), begin, end };
}

async function state(host) {
  const [{ macs }, { rx }] = [await ask(host, '/v1/status'), await ask(host, '/v1/drops')];
  return { macs, overrun: rx['socket-overrun'] };
}

/** One `vtepctl fdb show`, while other requests are made. */
async function show(host, daemon, words) {
  const before = residentBytes(daemon.pid);
  forgetPeak(daemon.pid);
  const vtepctl = ['bin/vtepctl', '--socket', host.socket, 'fdb', 'show', ...words];
  const begin = performance.now();
  const client = start(host.namespace, ['sh', '-c', 'exec "$@" > /dev/null', 'sh', process.execPath, ...vtepctl]);
  let [longestMs, clientBytes] = [0, 0];
  const ended = finish(client, 'vtepctl fdb show', SHOW_PATIENCE_MS);
  // Awaited below; until then its failure is nobody's.
  ended.catch(() => {});
  while (client.state.code === undefined) {
    const asked = performance.now();
    await ask(host, '/v1/status');
    longestMs = Math.max(longestMs, performance.now() - asked);
    clientBytes = Math.max(clientBytes, peakOf(client.pid));
    await pause(20);
  }
  await ended;
  const seconds = (performance.now() - begin) / 1000;
  return { seconds, longestMs, clientBytes, daemonBytes: peakBytes(daemon.pid) - before };
}

function peakOf(pid) {
  try {
    return peakBytes(pid);
  } catch {
    // It has just ended.
    return 0;
  }
}

/** @returns {Promise<number>} when nothing but the lab's own MACs is left */
async function swept(host, lastExpiry) {
  for (;;) {
    const { macs } = await ask(host, '/v1/status');
    const now = performance.now();
    if (macs <= OWN_MACS) return now;
    if (now > lastExpiry + SWEEP_PATIENCE_MS) throw new Error(`${macs} MACs are left long after they expired`);
    await pause(100);
  }
}
