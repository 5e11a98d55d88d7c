/** BGP EVPN at size: routes of many VTEPs come from a BGP peer and go again, while a flow crosses the same VTEP. */
import { writeFileSync } from 'node:fs';
import { programOf } from '../scripts/gobgp.mjs';
import { ask } from './control-socket.mjs';
import { finish, ip, pause, residentBytes, start } from './processes.mjs';
import { roundTrips, roundTripsDuring } from './traffic.mjs';
import { DEVICE, KINDS, startDaemon, stopDaemon, VNI } from './vteps.mjs';

/** 3.36: earlier versions walk their whole table for each type 2 route. */
const SUITE = 'trixie';
const ASN = 65_000;
const API_PORT = 50_051;
const READY_PATIENCE_MS = 60_000;
const ROUTES_PATIENCE_MS = 400_000;
const STOP_TIMEOUT_MS = 10_000;
const LOOK_MS = 5;

/**
 * @param {import('./lab.mjs').Host[]} hosts the second has the kernel's device, and the peer that announces the routes
 * @param {{ routes: number, floods: number, pings: number }} size `routes` of type 2, `floods` of type 3
 * @param {(name: string, unit: string, value: number) => void} add takes a figure
 */
export async function measureEvpn([near, far], size, add) {
  const speakers = [startSpeaker(near, far), startSpeaker(far, near)];
  const flags = ['--evpn', `127.0.0.1:${API_PORT}`, '--state-dir', `${near.socket}.state`];
  const { daemon } = await startDaemon(near, flags, { patienceMs: READY_PATIENCE_MS });
  try {
    KINDS.kernel.start(far);
    for (const host of [near, far]) ip('-n', host.namespace, 'addr', 'add', `${host.inner4}/24`, 'dev', DEVICE);
    const pair = { hosts: [near, far] };
    await roundTrips(pair, { count: size.pings });
    const addTimes = ({ p50, p99 }, when) => {
      add(`Round trip ${when}, p50`, 'µs', p50);
      add(`Round trip ${when}, p99`, 'µs', p99);
    };
    addTimes(await roundTrips(pair, { count: size.pings }), 'before');
    const addMemory = (when) => {
      add(`Resident ${when}: vtepd`, 'MB', residentBytes(daemon.pid) / 1e6);
      add(`Resident ${when}: gobgpd`, 'MB', residentBytes(speakers[0].pid) / 1e6);
    };
    await reached(near, 'announced', true);
    addMemory('without routes');
    for (const [name, kind, field, count] of [
      ['type 3', 'floods', 'vteps', size.floods],
      ['type 2', 'routes', 'macsIn', size.routes],
    ]) {
      for (const [verb, target] of [
        ['announced', count],
        ['withdrawn', 0],
      ]) {
        const plan = { kind, verb, count, vni: VNI, asn: ASN, port: API_PORT };
        const during = await roundTripsDuring(pair, () => change([near, far], plan, field, target));
        const { announcedSeconds, seconds, longestMs } = during.value;
        const what = `${count.toLocaleString('en')} of ${name} ${verb}`;
        add(`${what}: at the peer`, 's', announcedSeconds);
        add(`${what}: in the forwarding database`, 's', seconds);
        add(`${what}: longest wait of another request`, 'ms', longestMs);
        addTimes(during, 'meanwhile');
        if (target > 0) addMemory('with them');
      }
    }
    addMemory('at the end');
  } finally {
    const begin = performance.now();
    await stopDaemon(daemon);
    add('Stop', 'ms', performance.now() - begin);
    KINDS.kernel.stop(far);
    for (const speaker of speakers) {
      speaker.kill('SIGTERM');
      await finish(speaker, 'gobgpd', STOP_TIMEOUT_MS).catch(() => {});
    }
  }
}

function startSpeaker(host, peer) {
  const path = `${host.socket}.toml`;
  writeFileSync(
    path,
    `[global.config]
as = ${ASN}
router-id = "${host.address}"
[[neighbors]]
[neighbors.config]
neighbor-address = "${peer.address}"
peer-as = ${ASN}
[neighbors.timers.config]
connect-retry = 1
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
`,
  );
  const words = ['-f', path, '--api-hosts', `127.0.0.1:${API_PORT}`, '--pprof-disable', '--log-level', 'error'];
  return start(host.namespace, [programOf(SUITE), ...words]);
}

/** Announces or withdraws all routes, and waits until the daemon has followed, while other requests are made. */
async function change([near, far], plan, field, target) {
  const begin = performance.now();
  const words = [process.execPath, 'bench/evpn-peer.mjs', JSON.stringify(plan)];
  const peer = finish(start(far.namespace, words), 'the BGP peer', ROUTES_PATIENCE_MS);
  // Awaited below; until then its failure is nobody's.
  peer.catch(() => {});
  const longestMs = await reached(near, field, target);
  const seconds = (performance.now() - begin) / 1000;
  const { seconds: announcedSeconds } = JSON.parse(await peer);
  return { seconds, announcedSeconds, longestMs };
}

/** Waits until a number of the VNI has a value. @returns {Promise<number>} the longest wait for an answer meanwhile, in milliseconds */
async function reached(host, field, target) {
  let longestMs = 0;
  for (const end = performance.now() + ROUTES_PATIENCE_MS; ; await pause(LOOK_MS)) {
    const asked = performance.now();
    const { vnis } = await ask(host, '/v1/evpn');
    longestMs = Math.max(longestMs, performance.now() - asked);
    const [vni] = vnis;
    const value = vni?.[field];
    if (value === target) return longestMs;
    if (performance.now() > end) throw new Error(`${field} of VNI ${VNI} is ${value}, not ${target}`);
  }
}
