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

/** From the start of a frame to its type. */
const MACS_BYTES = ETHERNET_HEADER_BYTES - 2;

/** Takes frames for the overlay: the TAPs, or their in-memory twin. */
export interface FrameSink extends AnswerSink {
  /**
   * Queues one frame for the segment's TAP. The buffer stays the queue's until it is flushed; what was delivered and what was lost is
   * counted there. If the TAP is a trunk, the frame gets its tag here: VLAN_TAG_BYTES octets in front of it are the queue's too.
   *
   * @param segmentBytes payload of each segment if it is a super-frame and its sender told, else 0
   */
  deliver(segment: Segment, at: number, length: number, segmentBytes: number): void;
  /** Writes all that is queued; the buffers are the caller's again. */
  flush(): void;
}

/** What `receive` works with; one per worker, made once. A trace has parts of its own that change nothing. */
export interface ReceivePath {
  /** The worker's slab. */
  readonly view: DataView;
  readonly segments: Pick<SegmentMap, 'byVni'>;
  readonly fdb: Pick<Fdb, 'conflicts' | 'lookup' | 'learn'>;
  readonly taps: FrameSink;
  readonly suppression: Pick<Suppression, 'answers' | 'hear'>;
  /** Scratch, to look into trains of datagrams and inner IP headers with. */
  readonly headers: FrameHeaders;
  /** Where the datagram came from, set by the caller. */
  readonly source: SourceAddress;
  /** Its outer TOS octet or traffic class, likewise. */
  tos: number;
  /** What encapsulation it has, likewise. */
  encap: Encap;
  readonly sources: Pick<SourceCheck, 'verdict'>;
  dropReservedBits: boolean;
  readonly storm: Pick<StormControl, 'take'>;
  /** Out: the segment the datagram belongs to, once that is known. */
  segment: Segment | undefined;
  /** Out: octets of the header of one that was forwarded. */
  headerBytes: number;
  /** Out: whether the datagram had to ask storm control. */
  isStormControlled: boolean;
}

/**
 * Underlay to overlay: one datagram, in the order of RFC 7348 §4.1 and §5. What comes out of here goes to the TAP and never back to
 * the underlay (split horizon).
 *
 * @param at first octet of its header in the slab; the frame is changed in place
 * @param length of header and frame: the UDP payload
 * @param segmentBytes payload of each segment if the frame is a super-frame and its sender told, else 0
 * @param group number of the group whose socket it came by, NO_GROUP if it was unicast
 * @param now tenths of a second
 * @returns FORWARDED, and the sink counts it, or an RX_DROP reason; a dropped frame teaches nothing
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
  if (reading === HEADER_SHORT) return RX_DROP.short;
  const sourceVerdict = path.sources.verdict(source);
  if (sourceVerdict !== FORWARDED) return sourceVerdict;
  if (reading < 0) return headerDrop(reading);
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
    // A frame that is dropped for a conflict takes nothing from those that are not.
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

/** Carries the outer ECN field inside (RFC 6040 §4.2); false: it cannot be. */
function takesEcn({ view, headers, tos }: ReceivePath, frameAt: number, frameBytes: number): boolean {
  locateHeaders(view, frameAt, frameBytes, headers);
  return decapsulateEcn(view, headers, tos & 3);
}

/**
 * Whether somebody flooded the frame: its destination is a group, or one that is not known to be behind our TAP. Where nothing is learned
 * only the group tells.
 */
function isFlooded({ view, fdb }: ReceivePath, segment: Segment, at: number, group: number, now: number): boolean {
  if (isGroupDestination(view, at)) return true;
  const high = macHigh(view, at);
  const low = macLow(view, at);
  if (high === (segment.tapMacHigh | 0) && low === segment.tapMacLow) return false;
  return (segment.learning || group !== NO_GROUP) && fdb.lookup(segment.index, high, low, now) !== LOCAL;
}

/**
 * Whether a datagram would take the way of the one before it, which the kernel gave in the same message with the same header and which was
 * forwarded: MACs and type are the same, and the ladder asks for nothing more unless there are tags, an ECN field is to be carried inside,
 * storm control counts each frame, or announcements are to be heard: a station that takes over many addresses announces them in one train.
 * Spares a train most of the ladder.
 */
export function repeats(path: ReceivePath, at: number, length: number, previousAt: number): boolean {
  const { view, segment, headerBytes } = path;
  if (path.isStormControlled || hasEcnEffect(path.tos)) return false;
  if (segment === undefined || segment.innerVlan === INNER_VLAN.strip || length < headerBytes + ETHERNET_HEADER_BYTES)
    return false;
  const frameAt = at + headerBytes;
  const previousFrameAt = previousAt + headerBytes;
  if (segment.suppress && isGroupDestination(view, frameAt)) return false;
  // For its tag, the MACs of the one before were moved over its header.
  const isTagged = segment.vlan > UNTAGGED;
  const macsAt = isTagged ? previousFrameAt - VLAN_TAG_BYTES : previousFrameAt;
  for (let offset = 0; offset < MACS_BYTES; offset += 4) {
    if (view.getInt32(frameAt + offset) !== view.getInt32(macsAt + offset)) return false;
  }
  const type = view.getUint16(frameAt + MACS_BYTES);
  if (type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan || type === ETHERTYPE.arp) return false;
  return type === view.getUint16(previousFrameAt + MACS_BYTES);
}
