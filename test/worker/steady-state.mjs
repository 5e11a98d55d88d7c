/**
 * A worker's data plane between ports that allocate nothing, over the compiled code: the plan comes on standard input, what the heap did
 * in the steady state goes to standard output. Lines of --trace-gc between `steady` and the result are collections.
 */

import { readFileSync, writeSync } from 'node:fs';
import { ENCAP } from '../../dist/encap/encapsulation.js';
import { Fdb } from '../../dist/fdb/fdb.js';
import { createFdbMemory } from '../../dist/fdb/layout.js';
import { NeighbourTable } from '../../dist/forward/answers/neighbours.js';
import { PathLimits } from '../../dist/forward/answers/path-limits.js';
import { ToldNeighbours } from '../../dist/forward/answers/told-neighbours.js';
import { CaptureRing } from '../../dist/forward/capture/capture-ring.js';
import { FrameCapture } from '../../dist/forward/capture/frame-capture.js';
import { Counters } from '../../dist/forward/counters.js';
import { FORWARDED, RX_REASONS, TX_REASONS } from '../../dist/forward/drop-reason.js';
import { RemoteCounters } from '../../dist/forward/remote-counters.js';
import { SourceCheck } from '../../dist/forward/source-check.js';
import { SourceFilter } from '../../dist/forward/source-filter.js';
import { StormControl } from '../../dist/forward/storm-control.js';
import { OffloadSwitch } from '../../dist/offload/offload-switch.js';
import { FrameQueue } from '../../dist/overlay/frame-queue.js';
import { SegmentMap } from '../../dist/segment/segment-map.js';
import { octetSums } from '../../dist/sys/simd-sums.js';
import { Slab } from '../../dist/sys/slab.js';
import { GroupWatch } from '../../dist/worker/group-watch.js';
import { forwardDatagrams, forwardFrames } from '../../dist/worker/loop.js';
import { newPorts } from '../../dist/worker/ports.js';

const {
  direction,
  segment,
  packets,
  warmUpPackets,
  buffers,
  segmentBytes,
  known,
  remotes,
  allowedVteps,
  captures,
  isListenedTo,
} = JSON.parse(readFileSync(0, 'utf8'));
const [SLOT_BYTES, SLOT_HEADROOM, AREA_BYTES, NOW] = [66_048, 40, 262_144, 1_000];
/** Asking for the time, once a batch, would be garbage of its own. */
const NOW_MS = 1_234.567;
/** Rounds that are measured, unless one of them has at most this many octets a packet. */
const [ROUNDS, STEADY_BYTES] = [3, 0.05];

const slab = new Slab(16_777_216);
const sums = octetSums(slab);
const fdb = new Fdb(createFdbMemory(1, 300), 1);
const countersMemory = Counters.createMemory();
const counters = new Counters(countersMemory);
const remoteCounters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
const segments = new SegmentMap();

/** Buffers that are filled again from their templates before each batch, since the path changes them in place. */
class Ring {
  constructor() {
    this.count = buffers.length;
    this.slotsAt = slab.allocate(this.count * SLOT_BYTES);
    this.templatesAt = slab.allocate(this.count * SLOT_BYTES);
    this.lengths = buffers.map(({ octets }) => octets.length / 2);
    for (const [i, { vnetHeader, octets }] of buffers.entries()) {
      const at = this.templatesAt + i * SLOT_BYTES + SLOT_HEADROOM;
      slab.bytes.set(Buffer.from(vnetHeader, 'hex'), at - 10);
      slab.bytes.set(Buffer.from(octets, 'hex'), at);
    }
  }

  fill() {
    for (let i = 0; i < this.count; i++) {
      const template = this.templatesAt + i * SLOT_BYTES;
      const length = SLOT_HEADROOM + this.lengths[i];
      slab.bytes.copyWithin(this.slotsAt + i * SLOT_BYTES, template, template + length);
    }
    return this.count;
  }

  at(i) {
    return this.slotsAt + i * SLOT_BYTES + SLOT_HEADROOM;
  }
}

/** TAPs whose frames are those of the ring; what is delivered goes through the real queue and is counted. */
class CountingTaps {
  written = 0;
  pieces = 0;

  constructor(ring) {
    this.ring = ring;
    const merging = new OffloadSwitch(true, () => {});
    this.queue = new FrameQueue(slab, sums, { writer: this, counters, merging });
  }

  read() {
    return this.ring.fill();
  }

  frameAt(i) {
    return this.ring.at(i);
  }

  frameBytes(i) {
    return this.ring.lengths[i];
  }

  deliver(of, at, length, bytes) {
    this.queue.deliver(of, at, length, bytes);
  }

  flush() {
    this.queue.flush();
  }

  setPiece() {
    this.pieces++;
  }

  write() {
    this.written++;
    return FORWARDED;
  }

  dropReason() {
    return 0;
  }

  takesUdpRuns() {
    return true;
  }
}

/** An underlay whose datagrams are those of the ring; what is sent is counted. */
class CountingUnderlay {
  areaUsed = 0;
  areaAt = slab.allocate(AREA_BYTES);

  constructor(ring) {
    this.ring = ring;
  }

  receive() {
    return this.ring.fill();
  }

  datagramAt(i) {
    return this.ring.at(i);
  }

  datagramBytes(i) {
    return this.ring.lengths[i];
  }

  segmentBytes(i) {
    return segmentBytes === 0 ? this.ring.lengths[i] : segmentBytes;
  }

  readSource(_i, source) {
    source.a = 0;
    source.b = 0;
    source.c = 0xffff;
    source.d = 0x0a00_0002;
  }

  sourcePort() {
    return 50_000;
  }

  tos() {
    return 0;
  }

  groupOf() {
    return -1;
  }

  encapOf() {
    return ENCAP.vxlan;
  }

  toRemote(of, _remote, _at, length, datagramBytes) {
    counters.sent(of.index, length, Math.ceil(length / datagramBytes));
  }

  reserve(bytes) {
    if (this.areaUsed + bytes > AREA_BYTES) this.flush();
    const at = this.areaAt + this.areaUsed;
    this.areaUsed += bytes;
    return at;
  }

  flush() {
    this.areaUsed = 0;
  }
}

const ring = new Ring();
const taps = new CountingTaps(ring);
const underlay = new CountingUnderlay(ring);
const neighboursMemory = NeighbourTable.createMemory(1);
if (isListenedTo) new ToldNeighbours(neighboursMemory, 1).listenTo(segment.index);
const pathLimits = new PathLimits(fdb.remotes);
const sources = new SourceCheck();
sources.allow(allowedVteps.length === 0 ? undefined : new SourceFilter(allowedVteps));
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
  pathLimits,
  sources,
  storm: new StormControl(StormControl.createMemory()),
  neighboursMemory,
  worker: 0,
});
const floodRemotes = remotes.map((d) => fdb.retainRemote({ a: 0, b: 0, c: 0xffff, d }));
segments.apply({ kind: 'put', segment: { ...segment, floodRemotes } });

const REMOTE = { a: 0, b: 0, c: 0xffff, d: 0x0a00_0003 };
for (const [high, low] of known) fdb.addStatic(segment.index, high, low, REMOTE, NOW);

const capture = new FrameCapture(fdb, () => NOW_MS);
const rings = captures.map((filter, i) => {
  const memory = CaptureRing.createMemory(1 << 22);
  capture.start(i, memory, filter);
  return new CaptureRing(memory);
});
if (rings.length > 0) ports.capture = capture;

/** As the main thread, which is another's garbage. */
function readRings() {
  for (let i = 0; i < rings.length; i++) while (rings[i].next() >= 0) rings[i].release();
}

const row = (segment.index + 1) * (5 + RX_REASONS.length + TX_REASONS.length);
const cells = new Float64Array(countersMemory);

/** Forwards batch after batch until so many packets have come out on the other side. */
function forward(count) {
  const [RX_PACKETS, TX_PACKETS] = [row, row + 2];
  const end = cells[RX_PACKETS] + cells[TX_PACKETS] + count;
  while (cells[RX_PACKETS] + cells[TX_PACKETS] < end) {
    if (direction === 'send') forwardFrames(ports, segment.tap, NOW);
    else forwardDatagrams(ports, 0, NOW);
    readRings();
  }
}

/** One batch, whose drops would otherwise make `forward` run for ever. */
function expectNoDrops() {
  if (direction === 'send') forwardFrames(ports, segment.tap, NOW);
  else forwardDatagrams(ports, 0, NOW);
  const drops = [segment.index, -1].flatMap((index) => Object.values(counters.drops(index)).flatMap((all) => [...all]));
  if (drops.some((count) => count > 0)) throw new Error(`dropped: ${drops}`);
}

expectNoDrops();
forward(warmUpPackets / 2);
globalThis.gc();
// Code that the collector let go is there again.
forward(warmUpPackets / 2);
writeSync(1, 'steady\n');
// Garbage that each packet makes is there in each round. V8 may compile something anew in one of them, and code that is not compiled makes some.
let bytes = Number.POSITIVE_INFINITY;
for (let round = 0; round < ROUNDS && bytes > packets * STEADY_BYTES; round++) {
  const before = process.memoryUsage().heapUsed;
  forward(packets);
  bytes = Math.min(bytes, process.memoryUsage().heapUsed - before);
}
writeSync(1, `${JSON.stringify({ bytes, written: taps.written })}\n`);
