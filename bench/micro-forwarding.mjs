/**
 * The send and the receive ladder on a slab, as a worker walks them, into sinks that only count: the in-memory ports of the tests keep copies
 * of all they are given, which costs more than the ladders.
 */
import { Fdb } from '../dist/fdb/fdb.js';
import { createFdbMemory } from '../dist/fdb/layout.js';
import { receive } from '../dist/forward/receive.js';
import { send } from '../dist/forward/send.js';
import { INNER_VLAN, NO_GROUP } from '../dist/segment/segment.js';
import { SegmentMap } from '../dist/segment/segment-map.js';
import { Slab } from '../dist/sys/slab.js';
import { newFrameHeaders } from '../dist/wire/ip.js';
import { VNET_HDR_BYTES, writePartialHeader, writePlainHeader } from '../dist/wire/vnet-hdr.js';
import { VXLAN_HEADER_BYTES, writeVxlanHeader } from '../dist/wire/vxlan.js';
import { setIpv4Source } from '../dist/worker/loop.js';
import { perOperation } from './micro-timing.mjs';

const NOW = 1_000;
const VNI = 100;
const PEER = 0xc6_12_00_02 | 0;
const [HERE, THERE, NOWHERE] = ['020000000001', '020000000002', '020000000003'];
const [TCP_HEADER_AT, TCP_CHECKSUM_AT] = [34, 16];

const SEGMENT = {
  index: 0,
  vni: VNI,
  underlay: 0,
  group: NO_GROUP,
  groupAddress: 0,
  floodRemotes: [],
  tap: 0,
  tapUp: true,
  tapMtuBytes: 1_450,
  tapMacHigh: 0xfe00_0000,
  tapMacLow: 9,
  maxFrameBytes: 1_464,
  learning: true,
  maxMacs: 65_536,
  innerVlan: INNER_VLAN.drop,
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

/** Nanoseconds to decapsulate a TCP frame whose source is known. */
export function receiveTimes(octets) {
  const { slab, at, receivePath, sink } = newWorker(octets, { source: THERE, destination: HERE });
  const datagramAt = at - VXLAN_HEADER_BYTES;
  setIpv4Source(receivePath.source, PEER);
  return perOperation((count) => {
    for (let i = 0; i < count; i++) {
      // The vnet header of the frame before is written over it.
      writeVxlanHeader(slab.view, datagramAt, VNI);
      receive(receivePath, datagramAt, octets + VXLAN_HEADER_BYTES, NO_GROUP, NOW);
    }
    return sink.passed();
  });
}

/** Takes from both ladders, and counts. */
class CountingSink {
  #count = 0;

  toRemote(_segment, remote, _at, length, flow) {
    this.#count += length + remote + (flow & 1);
  }

  toGroup(_segment, _at, length, flow) {
    this.#count += length + (flow & 1);
  }

  deliver(_tap, _at, length) {
    this.#count += length;
    return -1;
  }

  /** Throws if nothing has: then what was timed was a drop. */
  passed() {
    if (this.#count === 0) throw new Error('every frame was dropped');
    return this.#count;
  }
}

function newWorker(octets, { source, destination }) {
  const slab = new Slab(1_048_576);
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const segments = new SegmentMap();
  segments.apply({ kind: 'put', segment: SEGMENT });
  const [sink, headers, view] = [new CountingSink(), newFrameHeaders(), slab.view];
  const receivePath = {
    view,
    segments,
    fdb,
    taps: sink,
    headers,
    source: { a: 0, b: 0, c: 0, d: 0 },
    isOwnAddress: ({ d }) => d === PEER - 1,
    dropReservedBits: false,
    segment: undefined,
  };
  const at = slab.allocate(octets + 64) + 64 - (64 % 16);
  slab.bytes.set(tcpFrame(octets, { source, destination }), at);
  const hear = (mac) => {
    const [high, low] = [Number.parseInt(mac.slice(0, 8), 16), Number.parseInt(mac.slice(8), 16)];
    fdb.learn(SEGMENT.index, high, low, sourceOf(PEER), SEGMENT.maxMacs, NOW);
  };
  return { slab, at, fdb, sink, hear, receivePath, sendPath: { view, fdb, underlay: sink, headers } };
}

function tcpFrame(octets, { source, destination }) {
  const frame = Buffer.alloc(octets, 0x5a);
  frame.write(`${destination}${source}0800`, 0, 'hex');
  frame.write('45000000000040004006', 14, 'hex');
  frame.writeUInt16BE(octets - 14, 16);
  frame.writeUInt8(0x80, TCP_HEADER_AT + 12);
  return frame;
}

function sourceOf(address) {
  const source = { a: 0, b: 0, c: 0, d: 0 };
  setIpv4Source(source, address);
  return source;
}
