/**
 * Frames that go round for ever through the kernel's own TAPs and sockets, over the compiled code. Started in a network namespace; the plan
 * comes on standard input, what the heap did in the steady state goes to standard output.
 *
 *     ┌► tap1 ── read, sent ── 127.8.0.1 ════ loopback ════ 127.8.0.2 ── received, written ── tap2 ─┐
 *     └──────────────────────────────────────── br0 ◄───────────────────────────────────────────────┘
 */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { ENCAP } from '../../dist/encap/encapsulation.js';
import { Fdb } from '../../dist/fdb/fdb.js';
import { createFdbMemory } from '../../dist/fdb/layout.js';
import { NeighbourTable } from '../../dist/forward/answers/neighbours.js';
import { Counters } from '../../dist/forward/counters.js';
import { RX_REASONS, TX_REASONS } from '../../dist/forward/drop-reason.js';
import { RemoteCounters } from '../../dist/forward/remote-counters.js';
import { SourceCheck } from '../../dist/forward/source-check.js';
import { StormControl } from '../../dist/forward/storm-control.js';
import { OffloadSwitch } from '../../dist/offload/offload-switch.js';
import { KernelTapPort } from '../../dist/overlay/kernel-tap-port.js';
import { SegmentMap } from '../../dist/segment/segment-map.js';
import { Epoll } from '../../dist/sys/epoll.js';
import { setsockopt } from '../../dist/sys/libc.js';
import { octetSums } from '../../dist/sys/simd-sums.js';
import { Slab } from '../../dist/sys/slab.js';
import { openSendSocket, openUnicastSocket } from '../../dist/sys/socket/udp-socket.js';
import { openTap } from '../../dist/sys/tun.js';
import { ApartSockets } from '../../dist/underlay/apart-sockets.js';
import { KernelUdpPort } from '../../dist/underlay/kernel-udp-port.js';
import { GroupWatch } from '../../dist/worker/group-watch.js';
import { forwardDatagrams, forwardFrames } from '../../dist/worker/loop.js';
import { newPorts } from '../../dist/worker/ports.js';

const { segment, packets, frames, isOffloaded, isProfiled } = JSON.parse(readFileSync(0, 'utf8'));
const [SENDER, RECEIVER, PORT, SOCKET, NOW] = ['127.8.0.1', '127.8.0.2', 4_789, 8, 1_000];
const [SENDING_TAP, RECEIVING_TAP] = [1, 2];
const [SOL_UDP, UDP_GRO] = [17, 104];

const ip = (...args) => execFileSync('ip', args);
// Both belong to this process and go with it; the bridge goes with the namespace.
const opened = ['tap1', 'tap2'].map((name) =>
  openTap(name, 'create', { queues: 1, gso: isOffloaded, gro: isOffloaded }),
);
const fds = opened.map((tap) => tap.fds[0]);
ip('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
for (const name of ['tap1', 'tap2']) ip('link', 'set', name, 'master', 'br0', 'up');
ip('link', 'set', 'br0', 'up');

const slab = new Slab(33_554_432);
const sums = octetSums(slab);
const fdb = new Fdb(createFdbMemory(1, 0), 1);
const countersMemory = Counters.createMemory();
const counters = new Counters(countersMemory);
const remoteCounters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
const refusals = [];
const offload = () => new OffloadSwitch(isOffloaded, (error) => refusals.push(error));
const taps = new KernelTapPort(slab, sums, { counters, merging: offload() });
const underlay = new KernelUdpPort(
  slab,
  fdb.remotes,
  { counters, remoteCounters, apart: new ApartSockets() },
  PORT,
  offload(),
);
const epoll = new Epoll(slab, 64);
const receiver = openUnicastSocket(RECEIVER, PORT);
if (isOffloaded) setsockopt(receiver, SOL_UDP, UDP_GRO, Buffer.from([1, 0, 0, 0]), 4);
underlay.addSocket(SOCKET, receiver, -1, ENCAP.vxlan);
const options = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: 1 };
underlay.addPool(
  0,
  4,
  1,
  [0, 0, 0, 0].map((port) => openSendSocket(SENDER, port, options)),
);
for (const [i, { fds, mergesUdp }] of opened.entries()) taps.attach(i + 1, fds[0], mergesUdp);
epoll.add(fds[0], SENDING_TAP);
epoll.add(receiver, SOCKET);

const segments = new SegmentMap();
const address = (last) => ({ a: 0, b: 0, c: 0xffff, d: (127 << 24) | (8 << 16) | last });
const remote = fdb.retainRemote(address(2));
const shared = { ...segment, floodRemotes: [remote] };
const receiving = new SegmentMap();
segments.apply({ kind: 'put', segment: { ...shared, tap: SENDING_TAP } });
receiving.apply({ kind: 'put', segment: { ...shared, index: segment.index + 1, tap: RECEIVING_TAP } });
const groupWatch = new GroupWatch(fdb.remotes, () => {});
const ports = newPorts({
  slab,
  sums,
  fdb,
  taps,
  underlay,
  segments,
  counters,
  remoteCounters,
  groupWatch,
  pathLimits: underlay.pathLimits,
  sources: new SourceCheck(),
  storm: new StormControl(StormControl.createMemory()),
  neighboursMemory: NeighbourTable.createMemory(1),
  worker: 0,
});
// One VNI on both sides: what comes out of one TAP is written to the other.
ports.receivePath.segments = receiving;

const ROW = 5 + RX_REASONS.length + TX_REASONS.length;
const cells = new Float64Array(countersMemory);
const RX_PACKETS = (segment.index + 2) * ROW;

/** So many packets go round. What is lost would be missed: then it ends with an error. */
function forward(count) {
  const end = cells[RX_PACKETS] + count;
  for (let idle = 0; cells[RX_PACKETS] < end; idle++) {
    const before = cells[RX_PACKETS];
    const events = epoll.wait(100);
    for (let event = 0; event < events; event++) {
      if (epoll.token(event) === SENDING_TAP) forwardFrames(ports, SENDING_TAP, NOW);
      else forwardDatagrams(ports, SOCKET, NOW);
    }
    if (cells[RX_PACKETS] !== before) idle = 0;
    if (idle === 20) throw new Error(`nothing goes round any more: ${JSON.stringify(drops())}`);
  }
}

function drops() {
  const all = [-1, segment.index, segment.index + 1].map((index) => counters.drops(index));
  return all.flatMap(({ rx, tx }) => [
    ...[...rx].flatMap((count, i) => (count > 0 ? [[RX_REASONS[i], count]] : [])),
    ...[...tx].flatMap((count, i) => (count > 0 ? [[TX_REASONS[i], count]] : [])),
  ]);
}

const at = slab.allocate(131_072);
for (const octets of frames) {
  slab.bytes.set(Buffer.from(octets, 'hex'), at);
  taps.deliver(receiving.byTap(RECEIVING_TAP), at, octets.length / 2, 0);
  taps.flush();
}

forward(packets);
globalThis.gc();
forward(packets);
const session = new Session();
if (isProfiled) {
  session.connect();
  session.post('HeapProfiler.enable');
  const collected = { includeObjectsCollectedByMinorGC: true, includeObjectsCollectedByMajorGC: true };
  session.post('HeapProfiler.startSampling', { samplingInterval: 64, ...collected });
}
writeSync(1, 'steady\n');
const [before, packetsBefore] = [process.memoryUsage().heapUsed, cells[RX_PACKETS]];
forward(packets);
const bytes = process.memoryUsage().heapUsed - before;
const result = { bytes, packets: cells[RX_PACKETS] - packetsBefore, refusals, drops: drops(), profile: profile() };
writeSync(1, `${JSON.stringify(result)}\n`);
process.exit(0);

/** Octets a packet by the functions that allocated them. */
function profile() {
  const sizes = {};
  if (!isProfiled) return sizes;
  session.post('HeapProfiler.stopSampling', (_error, { profile: { head } }) => {
    const walk = ({ callFrame: { functionName, url, lineNumber }, selfSize, children }) => {
      const name = `${functionName} ${url.split('/').pop()}:${lineNumber + 1}`;
      sizes[name] = (sizes[name] ?? 0) + selfSize / packets;
      for (const child of children) walk(child);
    };
    walk(head);
  });
  return Object.fromEntries(Object.entries(sizes).filter(([, size]) => size > 0.01));
}
