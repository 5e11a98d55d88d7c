/**
 * The send and the receive ladder on a slab, as a worker walks them, splitting and merging included, into sinks that only count: the
 * in-memory ports of the tests keep copies of all they are given, which costs more than the ladders.
 */
import { ENCAP } from '../dist/encap/encapsulation.js';
import { VXLAN_HEADER_BYTES, writeVxlan } from '../dist/encap/vxlan.js';
import { Fdb } from '../dist/fdb/fdb.js';
import { createFdbMemory } from '../dist/fdb/layout.js';
import { NO_REMOTE } from '../dist/fdb/remotes.js';
import { ADDRESS_MARK } from '../dist/forward/address-marks.js';
import { NeighbourTable } from '../dist/forward/answers/neighbours.js';
import { PathLimits } from '../dist/forward/answers/path-limits.js';
import { Counters } from '../dist/forward/counters.js';
import { FORWARDED } from '../dist/forward/drop-reason.js';
import { receive } from '../dist/forward/receive.js';
import { send } from '../dist/forward/send.js';
import { SourceCheck } from '../dist/forward/source-check.js';
import { StormControl } from '../dist/forward/storm-control.js';
import { OffloadSwitch } from '../dist/offload/offload-switch.js';
import { newSuperFrame } from '../dist/offload/split.js';
import { FrameQueue } from '../dist/overlay/frame-queue.js';
import { FLOOD, INNER_VLAN, NO_GROUP, NO_UNDERLAY, NO_VLAN } from '../dist/segment/segment.js';
import { SegmentMap } from '../dist/segment/segment-map.js';
import { octetSums } from '../dist/sys/simd-sums.js';
import { Slab } from '../dist/sys/slab.js';
import { pseudoHeaderSum } from '../dist/wire/checksum.js';
import { IP_PROTOCOL, newFrameHeaders } from '../dist/wire/ip.js';
import { NO_CONTROL } from '../dist/wire/link-local.js';
import { StrippedTags } from '../dist/wire/vlan.js';
import {
  GSO_TYPE,
  markSuperFrame,
  VNET_HDR_BYTES,
  writePartialHeader,
  writePlainHeader,
} from '../dist/wire/vnet-hdr.js';
import { newAnswers } from '../dist/worker/answers.js';
import { perOperation } from './micro-timing.mjs';

const NOW = 1_000;
const VNI = 100;
const PEER = 0xc6_12_00_02 | 0;
const [HERE, THERE, NOWHERE] = ['020000000001', '020000000002', '020000000003'];
const [TCP_HEADER_AT, TCP_CHECKSUM_AT] = [34, 16];
const SOURCE_MAC_LOW_AT = 10;
const AREA_BYTES = 131_072;
/** Ethernet, IPv4, TCP with twelve octets of options. */
const HEADER_BYTES = 14 + 20 + 32;

const SEGMENT = {
  index: 0,
  encap: ENCAP.vxlan,
  vni: VNI,
  ipv4Underlay: 0,
  ipv6Underlay: NO_UNDERLAY,
  group: NO_GROUP,
  groupRemote: NO_REMOTE,
  floodRemotes: [],
  tap: 0,
  vlan: NO_VLAN,
  tapUp: true,
  tapMtuBytes: 1_450,
  tapMacHigh: 0xfe00_0000,
  tapMacLow: 9,
  maxFrameBytes: 1_464,
  suppress: false,
  learning: true,
  maxMacs: 65_536,
  innerVlan: INNER_VLAN.drop,
  control: NO_CONTROL,
  flood: FLOOD.all,
  stormPps: 0,
};

/** Nanoseconds to encapsulate a TCP frame to a known VTEP. @param {{ isFinished: boolean }} options whether its checksum is done */
export function sendTimes(octets, { isFinished }) {
  const worker = newWorker(octets, { source: HERE, destination: THERE });
  const { slab, at, sendPath, sink } = worker;
  worker.hear(THERE);
  return perOperation((count) => {
    for (let i = 0; i < count; i++) {
      // What a TAP puts there with each frame.
      if (isFinished) writePlainHeader(slab.view, at - VNET_HDR_BYTES);
      else writePartialHeader(slab.view, at - VNET_HDR_BYTES, TCP_HEADER_AT, TCP_CHECKSUM_AT);
      send(sendPath, SEGMENT, at, octets, NOW);
    }
    return sink.passed();
  });
}

/** Nanoseconds to send a frame whose destination is unknown to every VTEP of a flood list. */
export function floodTimes(octets, { remotes }) {
  const { slab, at, sendPath, sink, fdb } = newWorker(octets, { source: HERE, destination: NOWHERE });
  const floodRemotes = Array.from({ length: remotes }, (_, i) => fdb.retainRemote(sourceOf(PEER + i)));
  const segment = { ...SEGMENT, floodRemotes };
  return perOperation((count) => {
    for (let i = 0; i < count; i++) {
      writePlainHeader(slab.view, at - VNET_HDR_BYTES);
      send(sendPath, segment, at, octets, NOW);
    }
    return sink.passed();
  });
}

/** Nanoseconds to decapsulate a TCP frame whose source is known. @param vteps that the frames come from in turn */
export function receiveTimes(octets, { vteps = 1 } = {}) {
  const { slab, at, receivePath, sink } = newWorker(octets, { source: THERE, destination: HERE });
  const datagramAt = at - VXLAN_HEADER_BYTES;
  Object.assign(receivePath.source, sourceOf(PEER));
  return perOperation((count) => {
    for (let i = 0; i < count; i++) {
      receivePath.source.d = PEER + (i % vteps);
      slab.view.setUint16(at + SOURCE_MAC_LOW_AT, 1 + (i % vteps));
      // The vnet header of the frame before is written over it.
      writeVxlan(slab.view, at, VNI);
      receive(receivePath, datagramAt, octets + VXLAN_HEADER_BYTES, 0, NO_GROUP, NOW);
    }
    return sink.passed();
  });
}

/** Nanoseconds to cut a TCP super-frame into segments of `segmentBytes` payload each and queue them. */
export function splitTimes(payloadBytes, segmentBytes) {
  const { slab, at, sendPath, sink, hear } = newWorker(HEADER_BYTES + payloadBytes, {
    source: HERE,
    destination: THERE,
  });
  hear(THERE);
  return perOperation((count) => {
    for (let i = 0; i < count; i++) {
      writePartialHeader(slab.view, at - VNET_HDR_BYTES, TCP_HEADER_AT, TCP_CHECKSUM_AT);
      markSuperFrame(slab.view, at - VNET_HDR_BYTES, GSO_TYPE.tcpv4, HEADER_BYTES, segmentBytes);
      send(sendPath, SEGMENT, at, HEADER_BYTES + payloadBytes, NOW);
    }
    return sink.passed();
  });
}

/** Nanoseconds to merge `frames` TCP frames of one flow, checksums verified, and write them as one. */
export function mergeTimes(frames, payloadBytes) {
  const { slab, at, sendPath, sink, hear, areaAt } = newWorker(HEADER_BYTES + frames * payloadBytes, {
    source: HERE,
    destination: THERE,
  });
  hear(THERE);
  // The frames to merge are those that splitting gives.
  writePartialHeader(slab.view, at - VNET_HDR_BYTES, TCP_HEADER_AT, TCP_CHECKSUM_AT);
  markSuperFrame(slab.view, at - VNET_HDR_BYTES, GSO_TYPE.tcpv4, HEADER_BYTES, payloadBytes);
  send(sendPath, SEGMENT, at, HEADER_BYTES + frames * payloadBytes, NOW);
  const frameBytes = HEADER_BYTES + payloadBytes;
  const first = slab.bytes.slice(areaAt, areaAt + VXLAN_HEADER_BYTES + HEADER_BYTES);
  const counters = { received: (_segment, bytes) => sink.count(bytes), rxDropped: () => {} };
  const merging = new OffloadSwitch(true, () => {});
  const queue = new FrameQueue(slab, sendPath.sums, { writer: sink, counters, merging });
  return perOperation((count) => {
    sink.writes = 0;
    for (let i = 0; i < count; i++) {
      // The headers of the whole were written over those of the first.
      slab.bytes.set(first, areaAt);
      for (let frame = 0; frame < frames; frame++) {
        const frameAt = areaAt + frame * (VXLAN_HEADER_BYTES + frameBytes) + VXLAN_HEADER_BYTES;
        queue.deliver(SEGMENT, frameAt, frameBytes, 0);
      }
      queue.flush();
    }
    if (sink.writes !== count) throw new Error('the frames were not merged');
    return sink.passed();
  });
}

/** Takes from both ladders and from the merging, and counts. */
class CountingSink {
  writes = 0;
  #count = 0;
  #areaAt;
  #used = 0;

  /** @param areaAt where datagrams of super-frames go, AREA_BYTES */
  constructor(areaAt) {
    this.#areaAt = areaAt;
  }

  toRemote(_segment, remote, _at, length, _datagramBytes, flow) {
    this.#count += length + remote + (flow & 1);
  }

  reserve(bytes) {
    if (this.#used + bytes > AREA_BYTES) this.#used = 0;
    this.#used += bytes;
    return this.#areaAt + this.#used - bytes;
  }

  deliver(_segment, _at, length) {
    this.#count += length;
  }

  flush() {}

  setPiece(_i, _at, length) {
    this.#count += length & 1;
  }

  write() {
    this.writes++;
    return FORWARDED;
  }

  takesUdpRuns() {
    return true;
  }

  count(bytes) {
    this.#count += bytes;
  }

  /** Throws if nothing has: then what was timed was a drop. */
  passed() {
    if (this.#count === 0) throw new Error('every frame was dropped');
    return this.#count;
  }
}

function newWorker(octets, { source, destination }) {
  const slab = new Slab(1_048_576);
  const areaAt = slab.allocate(AREA_BYTES);
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const segments = new SegmentMap();
  segments.apply({ kind: 'put', segment: SEGMENT });
  const storm = new StormControl(StormControl.createMemory());
  const [sink, headers, view] = [new CountingSink(areaAt), newFrameHeaders(), slab.view];
  const tags = new StrippedTags();
  const neighboursMemory = NeighbourTable.createMemory(1);
  const { suppression, tooBig } = newAnswers(slab, fdb, { neighboursMemory, worker: 0, taps: sink, tags });
  const sources = new SourceCheck();
  sources.mark(ADDRESS_MARK.own, { added: words(PEER - 1), removed: words() });
  sources.mark(ADDRESS_MARK.broadcast, { added: words(PEER | 0xff), removed: words() });
  const receivePath = {
    view,
    segments,
    fdb,
    taps: sink,
    suppression,
    headers,
    source: { a: 0, b: 0, c: 0, d: 0 },
    sources,
    tos: 0,
    encap: ENCAP.vxlan,
    dropReservedBits: false,
    storm,
    segment: undefined,
    headerBytes: 0,
    isStormControlled: false,
  };
  const at = slab.allocate(octets + 64) + 64 - (64 % 16);
  slab.bytes.set(tcpFrame(octets, { source, destination }), at);
  const hear = (mac) => {
    const [high, low] = [Number.parseInt(mac.slice(0, 8), 16), Number.parseInt(mac.slice(8), 16)];
    fdb.learn(SEGMENT.index, high, low, sourceOf(PEER), SEGMENT.maxMacs, NOW);
  };
  const sendPath = {
    view,
    fdb,
    underlay: sink,
    sums: octetSums(slab),
    suppression,
    pathLimits: new PathLimits(fdb.remotes),
    tooBig,
    headers,
    tags,
    superFrame: newSuperFrame(),
    storm,
    counters: new Counters(Counters.createMemory()),
    tos: 0,
    inheritsDf: false,
    droppedFrames: 1,
  };
  return { slab, at, areaAt, fdb, sink, hear, receivePath, sendPath };
}

function tcpFrame(octets, { source, destination }) {
  const frame = Buffer.alloc(octets, 0x5a);
  frame.write(`${destination}${source}0800`, 0, 'hex');
  frame.write('45000000000040004006', 14, 'hex');
  frame.writeUInt16BE(octets - 14, 16);
  frame.writeUInt16BE(0x4000, 20);
  // ACK, no other flag.
  frame.writeUInt8(0x10, TCP_HEADER_AT + 13);
  // As the kernel leaves it: the sum of the pseudo-header.
  const view = new DataView(frame.buffer, frame.byteOffset);
  const pseudo = pseudoHeaderSum(view, 14, 4, IP_PROTOCOL.tcp, octets - TCP_HEADER_AT);
  frame.writeUInt16BE(pseudo, TCP_HEADER_AT + TCP_CHECKSUM_AT);
  frame.writeUInt8(0x80, TCP_HEADER_AT + 12);
  return frame;
}

function sourceOf(address) {
  return { a: 0, b: 0, c: 0xffff, d: address };
}

/** @param {number[]} addresses of IPv4 */
function words(...addresses) {
  return Int32Array.from(addresses.flatMap((address) => Object.values(sourceOf(address))));
}
