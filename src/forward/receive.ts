import { readHeader } from '../encap/codec.ts';
import type { Encap } from '../encap/encapsulation.ts';
import { HEADER_SHORT, readHeaderBytes, readVni } from '../encap/reading.ts';
import { type Fdb, LEARNED, type SourceAddress } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { segmentCount } from '../offload/segment-count.ts';
import { INNER_VLAN, NO_GROUP, type Segment, UNTAGGED } from '../segment/segment.ts';
import type { SegmentMap } from '../segment/segment-map.ts';
import { decapsulateEcn, hasEcnEffect } from '../wire/ecn.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE,
  hasEthernetHeader,
  hasValidSource,
  isGroupDestination,
  macHigh,
  macLow,
  SOURCE_MAC_AT,
} from '../wire/ethernet.ts';
import { type FrameHeaders, locateHeaders } from '../wire/ip.ts';
import { isBarredControl } from '../wire/link-local.ts';
import { hasVlan, stripVlanTags, VLAN_TAG_BYTES } from '../wire/vlan.ts';
import type { AnswerSink } from './answers/answer-sink.ts';
import type { Suppression } from './answers/suppression.ts';
import { FORWARDED, headerDrop, RX_DROP } from './drop-reason.ts';
import type { SourceCheck } from './source-check.ts';
import { STORM_RX, type StormControl } from './storm-control.ts';

/** Offset from the start of a frame to its EtherType. */
const MACS_BYTES = ETHERNET_HEADER_BYTES - 2;

/** Accepts frames for the overlay: the TAPs, or a test double in memory. */
export interface FrameSink extends AnswerSink {
  /**
   * Queues one frame for the TAP of the segment. The queue owns the buffer until the flush, and counts delivered and lost frames. If the TAP is a
   * trunk, the frame gets its tag here, so the queue also owns the VLAN_TAG_BYTES octets in front of the frame.
   *
   * @param segmentBytes payload of each segment if it is a super-frame and its sender gave the size, else 0
   */
  deliver(segment: Segment, at: number, length: number, segmentBytes: number): void;
  /** Writes all queued frames. The caller may then reuse the buffers. */
  flush(): void;
}

/** The parts that `receive` uses: one set per worker, created once. A trace has its own parts, which change nothing. */
export interface ReceivePath {
  /** The worker's slab. */
  readonly view: DataView;
  readonly segments: Pick<SegmentMap, 'byVni'>;
  readonly fdb: Pick<Fdb, 'conflicts' | 'lookup' | 'learn'>;
  readonly taps: FrameSink;
  readonly suppression: Pick<Suppression, 'answers' | 'hear'>;
  /** Scratch space to parse trains of datagrams and inner IP headers. */
  readonly headers: FrameHeaders;
  /** Input: source of the datagram. The caller sets it. */
  readonly source: SourceAddress;
  /** Input: its outer TOS octet or traffic class. */
  tos: number;
  /** Input: its encapsulation. */
  encap: Encap;
  readonly sources: Pick<SourceCheck, 'verdict'>;
  dropReservedBits: boolean;
  readonly storm: Pick<StormControl, 'take'>;
  /** Output: the segment of the datagram, once it is known. */
  segment: Segment | undefined;
  /** Output: octets of the header of a forwarded datagram. */
  headerBytes: number;
  /** Output: whether storm control was asked about the datagram. */
  isStormControlled: boolean;
}

/**
 * Underlay to overlay: one datagram, in the order of RFC 7348 §4.1 and §5. The frame goes to the TAP and never back to the underlay (split horizon).
 *
 * @param at first octet of its header in the slab; the frame is changed in place
 * @param length of header and frame: the UDP payload
 * @param segmentBytes payload of each segment if the frame is a super-frame and its sender gave the size, else 0
 * @param group number of the group whose socket received it, NO_GROUP for unicast
 * @param now tenths of a second
 * @returns FORWARDED (the sink counts it), or an RX_DROP reason; nothing is learned from a dropped frame
 */
export function receive(
  path: ReceivePath,
  at: number,
  length: number,
  segmentBytes: number,
  group: number,
  now: number,
): number {
  const { view, fdb, source, encap } = path;
  path.segment = undefined;
  path.isStormControlled = false;
  const reading = readHeader(encap, view, at, length, path.dropReservedBits);
  if (reading < 0) return refusedHeader(path, reading);
  const sourceVerdict = path.sources.verdict(source);
  if (sourceVerdict !== FORWARDED) return sourceVerdict;
  const segment = path.segments.byVni(encap, readVni(reading));
  if (segment === undefined) return RX_DROP['unknown-vni'];
  path.segment = segment;
  if (group !== NO_GROUP && group !== segment.group) return RX_DROP['wrong-group'];

  const headerBytes = readHeaderBytes(reading);
  path.headerBytes = headerBytes;
  let frameAt = at + headerBytes;
  let frameBytes = length - headerBytes;
  if (hasEcnEffect(path.tos) && !takesEcn(path, frameAt, frameBytes)) return RX_DROP.ecn;
  if (!hasEthernetHeader(frameBytes)) return RX_DROP['short-inner'];
  if (!hasValidSource(view, frameAt)) return RX_DROP['bad-source-mac'];
  const high = macHigh(view, frameAt + SOURCE_MAC_AT);
  const low = macLow(view, frameAt + SOURCE_MAC_AT);
  if (high === (segment.tapMacHigh | 0) && low === segment.tapMacLow) return RX_DROP['own-mac'];
  if (isBarredControl(view, frameAt, segment.control)) return RX_DROP['link-local'];
  if (segment.innerVlan === INNER_VLAN.drop && hasVlan(view, frameAt, frameBytes)) return RX_DROP['inner-vlan'];
  if (segment.innerVlan === INNER_VLAN.strip) {
    const stripped = stripVlanTags(view, frameAt, frameBytes);
    frameAt += stripped;
    frameBytes -= stripped;
  }

  const { index, maxMacs } = segment;
  if (segment.stormPps !== 0 && isFlooded(path, segment, frameAt, group, now)) {
    // A frame that is dropped for a conflict does not use up the storm allowance of other frames.
    if (segment.learning && fdb.conflicts(index, high, low, source)) return RX_DROP['static-conflict'];
    path.isStormControlled = true;
    const frames = segmentCount(view, frameAt, frameBytes, segmentBytes, segment.tapMtuBytes, path.headers);
    if (!path.storm.take(index, STORM_RX, segment.stormPps, frames, now)) return RX_DROP.storm;
  }
  if (!segment.tapUp) {
    const isConflict = segment.learning && fdb.conflicts(index, high, low, source);
    return isConflict ? RX_DROP['static-conflict'] : RX_DROP['tap-down'];
  }
  if (segment.learning && fdb.learn(index, high, low, source, maxMacs, now) === LEARNED.conflict) {
    return RX_DROP['static-conflict'];
  }
  if (segment.suppress) path.suppression.hear(segment, frameAt, frameBytes, now);
  path.taps.deliver(segment, frameAt, frameBytes, segmentBytes);
  return FORWARDED;
}

/** Why a datagram without a valid header is dropped. The source of a complete header is checked before its faults are reported. */
function refusedHeader(path: ReceivePath, reading: number): number {
  if (reading === HEADER_SHORT) return RX_DROP.short;
  const sourceVerdict = path.sources.verdict(path.source);
  return sourceVerdict === FORWARDED ? headerDrop(reading) : sourceVerdict;
}

/** Copies the outer ECN field to the inner packet (RFC 6040 §4.2). false: this is not permitted. */
function takesEcn({ view, headers, tos }: ReceivePath, frameAt: number, frameBytes: number): boolean {
  locateHeaders(view, frameAt, frameBytes, headers);
  return decapsulateEcn(view, headers, tos & 3);
}

/**
 * Whether the frame was flooded: its destination is a group, or a MAC that is not known to be behind our TAP. Without learning, only a group counts.
 */
function isFlooded({ view, fdb }: ReceivePath, segment: Segment, at: number, group: number, now: number): boolean {
  if (isGroupDestination(view, at)) return true;
  const high = macHigh(view, at);
  const low = macLow(view, at);
  if (high === (segment.tapMacHigh | 0) && low === segment.tapMacLow) return false;
  return (segment.learning || group !== NO_GROUP) && fdb.lookup(segment.index, high, low, now) !== LOCAL;
}

/**
 * Whether a datagram would get the same verdict as the previous one. The kernel gave both in the same message with the same header, and the previous
 * one was forwarded. MACs and type must be equal, and no further step of the ladder may apply: tags, an ECN field to copy, storm control (which
 * counts each frame), or announcements to hear (a station that takes over many addresses announces them in one train). This saves a train most of the
 * ladder.
 */
export function repeats(path: ReceivePath, at: number, length: number, previousAt: number): boolean {
  const { view, segment, headerBytes } = path;
  if (path.isStormControlled || hasEcnEffect(path.tos)) return false;
  if (segment === undefined || segment.innerVlan === INNER_VLAN.strip || length < headerBytes + ETHERNET_HEADER_BYTES)
    return false;
  const frameAt = at + headerBytes;
  const previousFrameAt = previousAt + headerBytes;
  if (segment.suppress && isGroupDestination(view, frameAt)) return false;
  // To insert its tag, the MACs of the previous frame were moved over its header.
  const isTagged = segment.vlan > UNTAGGED;
  const macsAt = isTagged ? previousFrameAt - VLAN_TAG_BYTES : previousFrameAt;
  for (let offset = 0; offset < MACS_BYTES; offset += 4) {
    if (view.getInt32(frameAt + offset) !== view.getInt32(macsAt + offset)) return false;
  }
  const type = view.getUint16(frameAt + MACS_BYTES);
  if (type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan || type === ETHERTYPE.arp) return false;
  return type === view.getUint16(previousFrameAt + MACS_BYTES);
}
