import { type Fdb, LEARNED, LOCAL_SOURCE, UNKNOWN } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import { completeChecksum } from '../wire/checksum.ts';
import {
  hasEthernetHeader,
  hasValidSource,
  isGroupDestination,
  isLinkLocalDestination,
  macHigh,
  macLow,
  SOURCE_MAC_AT,
} from '../wire/ethernet.ts';
import { flowHash } from '../wire/flow-hash.ts';
import { type FrameHeaders, locateHeaders } from '../wire/ip.ts';
import { hasVlan, stripVlanTags } from '../wire/vlan.ts';
import { checksumOffset, checksumStart, needsChecksum, VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { VXLAN_HEADER_BYTES, writeVxlanHeader } from '../wire/vxlan.ts';
import { FORWARDED, TX_DROP } from './drop-reason.ts';

/** Takes datagrams for the underlay: the UDP port, or its in-memory twin. */
export interface DatagramSink {
  /**
   * Queues one VXLAN datagram to a remote. The buffer stays the queue's until the caller flushes it; losses are counted there.
   *
   * @param flow the inner flow's hash, which picks the source port
   */
  toRemote(segment: Segment, remote: number, at: number, length: number, flow: number): void;
  /** Likewise, to the segment's group. */
  toGroup(segment: Segment, at: number, length: number, flow: number): void;
}

/** What `send` works with; one per worker, made once. */
export interface SendPath {
  /** The worker's slab. The frame's vnet header stands in front of it. */
  readonly view: DataView;
  readonly fdb: Fdb;
  readonly underlay: DatagramSink;
  readonly headers: FrameHeaders;
}

/**
 * Overlay to underlay: one frame that a TAP gave. A known destination goes to its VTEP alone; broadcast, multicast and unknown
 * destinations go to the group and to each remote of the flood list (RFC 7348 §4.1, §4.2). The VXLAN header is written over the vnet header.
 *
 * @param at first octet of the frame in the slab; the frame is changed in place
 * @param length of the frame alone
 * @param now tenths of a second
 * @returns FORWARDED or a TX_DROP reason; a dropped frame teaches nothing
 */
export function send(path: SendPath, segment: Segment, at: number, length: number, now: number): number {
  const { view, fdb, headers } = path;
  const { index } = segment;
  if (!hasEthernetHeader(length)) return TX_DROP.short;
  if (!hasValidSource(view, at)) return TX_DROP['bad-source-mac'];
  const sourceHigh = macHigh(view, at + SOURCE_MAC_AT);
  const sourceLow = macLow(view, at + SOURCE_MAC_AT);
  if (segment.learning && fdb.conflicts(index, sourceHigh, sourceLow, LOCAL_SOURCE)) return TX_DROP['static-conflict'];

  let frameAt = at;
  let frameBytes = length;
  if (needsChecksum(view, at - VNET_HDR_BYTES)) finishChecksum(view, at, length);
  if (segment.innerVlan === INNER_VLAN.drop && hasVlan(view, frameAt, frameBytes)) return TX_DROP['inner-vlan'];
  if (segment.innerVlan === INNER_VLAN.strip) {
    const stripped = stripVlanTags(view, frameAt, frameBytes);
    frameAt += stripped;
    frameBytes -= stripped;
  }
  if (isLinkLocalDestination(view, frameAt)) return TX_DROP['link-local'];

  const remote = isGroupDestination(view, frameAt)
    ? UNKNOWN
    : fdb.lookup(index, macHigh(view, frameAt), macLow(view, frameAt), now);
  if (remote === LOCAL) return TX_DROP.local;
  const hasFloodList = segment.group !== NO_GROUP || segment.floodRemotes.length !== 0;
  if (remote === UNKNOWN && !hasFloodList) return TX_DROP['no-remote'];
  if (frameBytes > segment.maxFrameBytes) return TX_DROP.oversize;
  if (segment.learning) {
    const learned = fdb.learn(index, sourceHigh, sourceLow, LOCAL_SOURCE, segment.maxMacs, now);
    if (learned === LEARNED.conflict) return TX_DROP['static-conflict'];
  }

  locateHeaders(view, frameAt, frameBytes, headers);
  const flow = flowHash(view, frameAt, headers);
  const datagramAt = frameAt - VXLAN_HEADER_BYTES;
  const datagramBytes = frameBytes + VXLAN_HEADER_BYTES;
  writeVxlanHeader(view, datagramAt, segment.vni);
  if (remote !== UNKNOWN) path.underlay.toRemote(segment, remote, datagramAt, datagramBytes, flow);
  else flood(path.underlay, segment, datagramAt, datagramBytes, flow);
  return FORWARDED;
}

/** One copy to the group, one to each distinct remote. */
function flood(underlay: DatagramSink, segment: Segment, at: number, length: number, flow: number): void {
  if (segment.group !== NO_GROUP) underlay.toGroup(segment, at, length, flow);
  for (let i = 0; i < segment.floodRemotes.length; i++) {
    underlay.toRemote(segment, segment.floodRemotes[i] as number, at, length, flow);
  }
}

/** The TAP was opened with TUN_F_CSUM: the kernel leaves transport checksums to us. Offsets outside the frame are not followed. */
function finishChecksum(view: DataView, at: number, length: number): void {
  const start = checksumStart(view, at - VNET_HDR_BYTES);
  const offset = checksumOffset(view, at - VNET_HDR_BYTES);
  if (start + offset + 2 <= length) completeChecksum(view, at + start, at + length, offset);
}
