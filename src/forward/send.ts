import { writeHeader } from '../encap/codec.ts';
import { HEADER_ROOM_BYTES } from '../encap/encapsulation.ts';
import { type Fdb, LEARNED, LOCAL_SOURCE, UNKNOWN } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { MAX_DATAGRAMS_PER_FRAME, MAX_UDP_PAYLOAD_BYTES, MAX_UDP_SEGMENTS } from '../lib/limits.ts';
import { isShredded, readSuperFrame, type SuperFrame, segmentFrameBytes, writeSegments } from '../offload/split.ts';
import { FLOOD, INNER_VLAN, NO_GROUP, NO_VLAN, type Segment } from '../segment/segment.ts';
import { outerTos } from '../wire/ecn.ts';
import {
  hasEthernetHeader,
  hasValidSource,
  isGroupDestination,
  macHigh,
  macLow,
  SOURCE_MAC_AT,
} from '../wire/ethernet.ts';
import { flowHash } from '../wire/flow-hash.ts';
import { type FrameHeaders, locateHeaders, mayNotFragment } from '../wire/ip.ts';
import { isBarredControl } from '../wire/link-local.ts';
import { completeChecksum, type OctetSums } from '../wire/octet-sums.ts';
import { hasVlan, popTrunkTag, type StrippedTags } from '../wire/vlan.ts';
import { checksumOffset, checksumStart, GSO_TYPE, gsoType, needsChecksum, VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import type { PathLimits } from './answers/path-limits.ts';
import type { Suppression } from './answers/suppression.ts';
import type { TooBigAnswers } from './answers/too-big.ts';
import type { Counters } from './counters.ts';
import { FORWARDED, TX_DROP } from './drop-reason.ts';
import { STORM_TX, type StormControl } from './storm-control.ts';

/** No datagram holds a longer frame, whatever its header. The MTU of loopback is larger than this. */
const MAX_FRAME_BYTES = MAX_UDP_PAYLOAD_BYTES - HEADER_ROOM_BYTES;

/** Accepts datagrams for the underlay: the UDP port, or a test double in memory. */
export interface DatagramSink {
  /**
   * Queues datagrams to a remote or a group: one, or several in contiguous memory. The queue owns the buffer until the flush, and counts sent and
   * lost datagrams.
   *
   * @param length of all together, at most MAX_UDP_PAYLOAD_BYTES
   * @param datagramBytes of each but the last, which may be shorter; at most MAX_UDP_SEGMENTS datagrams
   * @param flow hash of the inner flow, which selects the source port
   * @param tos outer TOS octet or traffic class
   * @param mayFragment whether IPv4 routers may fragment: the outer DF bit follows the inner packet, which has no DF
   */
  toRemote(
    segment: Segment,
    remote: number,
    at: number,
    length: number,
    datagramBytes: number,
    flow: number,
    tos: number,
    mayFragment: boolean,
  ): void;
  /** Room for at most MAX_UDP_PAYLOAD_BYTES octets of datagrams that are built in a new place. Flushes if no room is left. */
  reserve(bytes: number): number;
  /** Sends all queued datagrams. The caller may then reuse all buffers. */
  flush(): void;
}

/** The parts that `send` uses: one set per worker, created once. A trace has its own parts, which change nothing. */
export interface SendPath {
  /** The slab of the worker. The vnet header of the frame is in front of the frame. */
  readonly view: DataView;
  readonly fdb: Pick<Fdb, 'conflicts' | 'lookup' | 'isBarred' | 'learn'>;
  readonly underlay: DatagramSink;
  readonly sums: OctetSums;
  readonly suppression: Pick<Suppression, 'answers' | 'hearLocal' | 'listened' | 'overrules'>;
  readonly pathLimits: Pick<PathLimits, 'isEmpty' | 'frameBytes'>;
  readonly tooBig: Pick<TooBigAnswers, 'answer'>;
  readonly headers: FrameHeaders;
  /** Output, for a segment that strips tags: the tags for answers. */
  readonly tags: StrippedTags;
  readonly superFrame: SuperFrame;
  readonly storm: Pick<StormControl, 'take'>;
  readonly counters: Pick<Counters, 'flooded'>;
  /** Outer TOS octet, whose ECN bits are ignored, or INHERIT_TOS. */
  tos: number;
  /** Whether the outer DF bit is copied from the inner packet. */
  inheritsDf: boolean;
  /** Output: the number of frames that a dropped frame counts for. */
  droppedFrames: number;
}

/**
 * Overlay to underlay: one frame from a TAP, which may be a super-frame of many segments. A frame to a known destination goes to its VTEP only.
 * Broadcast, multicast and unknown unicast go to the group and to each remote of the flood list (RFC 7348 §4.1, §4.2). The header of the
 * encapsulation is written over the vnet header. On a trunk, the frame belongs to the VLAN of the segment; the tag does not cross the underlay
 * (§6.1).
 *
 * @param at first octet of the frame in the slab; the frame is changed in place
 * @param length of the frame alone
 * @param now tenths of a second
 * @returns FORWARDED or a TX_DROP reason; a dropped frame teaches nothing, but see `learnFromDrop`
 */
export function send(path: SendPath, segment: Segment, at: number, length: number, now: number): number {
  const { view, fdb, headers } = path;
  const { index } = segment;
  path.droppedFrames = 1;
  if (!hasEthernetHeader(length)) return TX_DROP.short;
  if (!hasValidSource(view, at)) return TX_DROP['bad-source-mac'];
  const sourceHigh = macHigh(view, at + SOURCE_MAC_AT);
  const sourceLow = macLow(view, at + SOURCE_MAC_AT);
  if (segment.learning && fdb.conflicts(index, sourceHigh, sourceLow, LOCAL_SOURCE)) return TX_DROP['static-conflict'];

  let frameAt = at;
  let frameBytes = length;
  const vnetAt = at - VNET_HDR_BYTES;
  const isSuper = gsoType(view, vnetAt) !== GSO_TYPE.none;
  if (!isSuper && needsChecksum(view, vnetAt)) finishChecksum(path, at, length);
  if (segment.vlan !== NO_VLAN) {
    // The tag that selects the segment belongs to the trunk, not to the tenant. A second tag is an inner tag.
    const popped = popTrunkTag(view, at, length);
    frameAt += popped;
    frameBytes -= popped;
  }
  if (segment.innerVlan === INNER_VLAN.drop && hasVlan(view, frameAt, frameBytes)) return TX_DROP['inner-vlan'];
  if (segment.innerVlan === INNER_VLAN.strip) {
    const stripped = path.tags.strip(view, frameAt, frameBytes);
    frameAt += stripped;
    frameBytes -= stripped;
  }
  if (isBarredControl(view, frameAt, segment.control)) return TX_DROP['link-local'];

  const isGroup = isGroupDestination(view, frameAt);
  if (segment.suppress) {
    const isNews = path.suppression.overrules(segment, frameAt, frameBytes, now);
    if (isGroup && !isNews && path.suppression.answers(segment, frameAt, frameBytes, now)) {
      return learnFromDrop(path, segment, frameAt, frameBytes, now, TX_DROP.suppressed);
    }
  }
  const remote = isGroup ? UNKNOWN : fdb.lookup(index, macHigh(view, frameAt), macLow(view, frameAt), now);
  if (remote === LOCAL) return TX_DROP.local;
  const isFlooded = remote === UNKNOWN;
  if (isFlooded && (segment.flood === FLOOD.none || (segment.flood === FLOOD['no-unknown'] && !isGroup))) {
    return TX_DROP['flood-off'];
  }
  locateHeaders(view, frameAt, frameBytes, headers);
  const isWhole = !isSuper || readSuperFrame(view, vnetAt, at, frameAt, headers, path.superFrame);
  if (isFlooded && segment.stormPps !== 0) {
    const frames = isSuper && isWhole ? path.superFrame.segments : 1;
    if (!path.storm.take(index, STORM_TX, segment.stormPps, frames, now)) {
      path.droppedFrames = frames;
      return TX_DROP.storm;
    }
  }
  if (isFlooded ? copiesOf(segment) === 0 : fdb.isBarred(remote)) {
    return learnFromDrop(path, segment, frameAt, frameBytes, now, TX_DROP['no-remote']);
  }
  if (!isWhole || (isSuper && isShredded(path.superFrame))) return TX_DROP.oversize;
  if (isSuper && isFlooded && path.superFrame.segments * copiesOf(segment) > MAX_DATAGRAMS_PER_FRAME)
    return TX_DROP.oversize;
  const sentBytes = isSuper ? segmentFrameBytes(path.superFrame) : frameBytes;
  const mayFragment = path.inheritsDf && !mayNotFragment(view, headers);
  const maxFrameBytes = longestFrame(path, segment, remote, isGroup, mayFragment, now);
  if (sentBytes > maxFrameBytes) {
    path.tooBig.answer(segment, frameAt, headers, maxFrameBytes, now);
    return TX_DROP.oversize;
  }
  const verdict = learnStation(path, segment, frameAt, frameBytes, now, FORWARDED);
  if (verdict !== FORWARDED) return verdict;

  const flow = flowHash(view, frameAt, headers);
  const tos = outerTos(view, headers, path.tos);
  const datagramAt = writeHeader(segment.encap, view, frameAt, segment.vni);
  const datagramBytes = frameAt - datagramAt + sentBytes;
  if (isSuper) sendSegments(path, segment, remote, datagramBytes, flow, tos, mayFragment);
  else sendTo(path, segment, remote, datagramAt, datagramBytes, datagramBytes, flow, tos, mayFragment);
  return FORWARDED;
}

/**
 * A valid frame that has no receiver, or that was answered instead, teaches its station only where a control plane announces stations: other VTEPs
 * must know the station before they send anything to it.
 *
 * @param reason why the frame is dropped
 * @returns the TX_DROP reason
 */
function learnFromDrop(
  path: SendPath,
  segment: Segment,
  frameAt: number,
  frameBytes: number,
  now: number,
  reason: number,
): number {
  if (path.suppression.listened[segment.index] === 0) return reason;
  return learnStation(path, segment, frameAt, frameBytes, now, reason);
}

/**
 * Learns the station that sent a valid frame, and its address.
 *
 * @param verdict on the frame otherwise
 * @returns the verdict
 */
function learnStation(
  { view, fdb, suppression }: SendPath,
  segment: Segment,
  frameAt: number,
  frameBytes: number,
  now: number,
  verdict: number,
): number {
  if (segment.learning) {
    const high = macHigh(view, frameAt + SOURCE_MAC_AT);
    const low = macLow(view, frameAt + SOURCE_MAC_AT);
    const learned = fdb.learn(segment.index, high, low, LOCAL_SOURCE, segment.maxMacs, now);
    // The static entry is newer than the first test.
    if (learned === LEARNED.conflict) return TX_DROP['static-conflict'];
  }
  if (segment.suppress || suppression.listened[segment.index] !== 0) {
    suppression.hearLocal(segment, frameAt, frameBytes, now);
  }
  return verdict;
}

/** The longest frame that fits the underlay, and the path to a VTEP if its MTU is known. */
function longestFrame(
  { pathLimits }: SendPath,
  segment: Segment,
  remote: number,
  isGroup: boolean,
  mayFragment: boolean,
  now: number,
): number {
  const limit = Math.min(segment.maxFrameBytes, MAX_FRAME_BYTES);
  if (pathLimits.isEmpty) return limit;
  if (remote !== UNKNOWN) return Math.min(limit, pathLimits.frameBytes(segment.encap, remote, mayFragment, now));
  return isGroup ? limit : Math.min(limit, longestCopy(pathLimits, segment, mayFragment, now));
}

/**
 * The longest frame that fits the widest path of a flood. The kernel refuses a copy that does not fit a narrower path. A station is told only of
 * frames that fit none of the paths.
 */
function longestCopy(pathLimits: SendPath['pathLimits'], segment: Segment, mayFragment: boolean, now: number): number {
  let longest = segment.group === NO_GROUP ? 0 : MAX_FRAME_BYTES;
  for (let i = 0; i < segment.floodRemotes.length && longest < MAX_FRAME_BYTES; i++) {
    const remote = segment.floodRemotes[i] as number;
    longest = Math.max(longest, pathLimits.frameBytes(segment.encap, remote, mayFragment, now));
  }
  return longest;
}

/** The TX_DROP reason for a frame of a trunk whose VLAN belongs to no segment. */
export function strayReason(view: DataView, at: number, length: number): number {
  if (!hasEthernetHeader(length)) return TX_DROP.short;
  return hasValidSource(view, at) ? TX_DROP['unknown-vlan'] : TX_DROP['bad-source-mac'];
}

/** Cuts a super-frame. Each step makes as many segments as one message holds. */
function sendSegments(
  path: SendPath,
  segment: Segment,
  remote: number,
  datagramBytes: number,
  flow: number,
  tos: number,
  mayFragment: boolean,
): void {
  const { view, sums, superFrame, underlay } = path;
  const prefixBytes = datagramBytes - segmentFrameBytes(superFrame);
  const most = Math.min(MAX_UDP_SEGMENTS, Math.floor(MAX_UDP_PAYLOAD_BYTES / datagramBytes));
  for (let first = 0; first < superFrame.segments; first += most) {
    const count = Math.min(most, superFrame.segments - first);
    const at = underlay.reserve(count * datagramBytes);
    const length = writeSegments(view, sums, superFrame, first, count, prefixBytes, at);
    sendTo(path, segment, remote, at, length, datagramBytes, flow, tos, mayFragment);
  }
}

/** Sends to a VTEP. If the destination is unknown: one copy to the group and one to each distinct remote. */
function sendTo(
  { underlay, counters }: SendPath,
  segment: Segment,
  remote: number,
  at: number,
  length: number,
  datagramBytes: number,
  flow: number,
  tos: number,
  mayFragment: boolean,
): void {
  if (remote !== UNKNOWN) {
    underlay.toRemote(segment, remote, at, length, datagramBytes, flow, tos, mayFragment);
    return;
  }
  counters.flooded(segment.index, copiesOf(segment) * Math.ceil(length / datagramBytes));
  if (segment.group !== NO_GROUP)
    underlay.toRemote(segment, segment.groupRemote, at, length, datagramBytes, flow, tos, mayFragment);
  for (let i = 0; i < segment.floodRemotes.length; i++) {
    underlay.toRemote(segment, segment.floodRemotes[i] as number, at, length, datagramBytes, flow, tos, mayFragment);
  }
}

/** Number of copies of a flood: to the group, and to each remote. */
function copiesOf({ floodRemotes, group }: Segment): number {
  return floodRemotes.length + (group === NO_GROUP ? 0 : 1);
}

/** The TAP was opened with TUN_F_CSUM: the kernel leaves transport checksums to vtepd. Offsets outside the frame are ignored. */
function finishChecksum({ view, sums }: SendPath, at: number, length: number): void {
  const start = checksumStart(view, at - VNET_HDR_BYTES);
  const offset = checksumOffset(view, at - VNET_HDR_BYTES);
  if (start + offset + 2 <= length) completeChecksum(view, sums, at + start, at + length, offset);
}
