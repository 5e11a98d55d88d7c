import { MAX_TCP_SUPER_SEGMENTS, MAX_UDP_SUPER_SEGMENTS, MIN_TCP_SEGMENT_BYTES } from '../lib/limits.ts';
import { foldSum } from '../wire/checksum.ts';
import {
  type FrameHeaders,
  IPV6_HEADER_BYTES,
  TCP_CHECKSUM_AT,
  TCP_FLAG,
  TCP_FLAGS_AT,
  TCP_MIN_HEADER_BYTES,
  tcpHeaderBytes,
  UDP_CHECKSUM_AT,
  UDP_HEADER_BYTES,
} from '../wire/ip.ts';
import type { OctetSums } from '../wire/octet-sums.ts';
import { checksumStart, GSO_TYPE, gsoSize, gsoType, needsChecksum } from '../wire/vnet-hdr.ts';

/**
 * Cuts a super-frame from a TAP (TSO, USO) into its segments, as the segmentation of the kernel does (net/ipv4/tcp_offload.c, udp_offload.c). Headers
 * are repeated; lengths, sequence numbers, IPv4 ids and checksums are computed anew; FIN and PSH stay only on the last segment, CWR only on the
 * first.
 */

/** Offsets from the IP header to the fields that differ between segments. */
const IPV4_LENGTH_AT = 2;
const IPV4_ID_AT = 4;
const IPV4_CHECKSUM_AT = 10;
const IPV6_LENGTH_AT = 4;
const TCP_SEQUENCE_AT = 4;
const UDP_LENGTH_AT = 4;

/** The 16-bit word that holds data offset and flags. */
const TCP_FLAGS_WORD_AT = TCP_FLAGS_AT - 1;

/** A super-frame as `readSuperFrame` describes it. The caller owns and reuses it. Offsets are into the slab. */
export interface SuperFrame {
  at: number;
  ipVersion: 0 | 4 | 6;
  networkAt: number;
  isTcp: boolean;
  transportAt: number;
  /** Octets from `at` to the payload. */
  headerBytes: number;
  payloadBytes: number;
  /** Payload of a segment. The last segment may have less. */
  segmentBytes: number;
  segments: number;
}

export function newSuperFrame(): SuperFrame {
  return {
    at: 0,
    ipVersion: 0,
    networkAt: 0,
    isTcp: false,
    transportAt: 0,
    headerBytes: 0,
    payloadBytes: 0,
    segmentBytes: 0,
    segments: 0,
  };
}

/** Octets of each frame after cutting. The last one may be shorter. */
export function segmentFrameBytes(frame: SuperFrame): number {
  return frame.headerBytes + frame.segmentBytes;
}

/**
 * Describes the super-frame that begins at `frameAt`. The transport header is where its checksum range starts. So IPv6 extension headers do not
 * matter; for IPv4 this must be the end of the IP header. Everything in front of the payload is repeated in each segment. The length of the transport
 * header is read from the header itself, since the length in the vnet header cannot be trusted.
 *
 * @param readAt where the frame began before tags were removed: the vnet header, at `vnetAt`, counts from there
 * @param headers what `locateHeaders` found in the frame
 * @returns false if the headers contradict each other: such a frame cannot be cut
 */
export function readSuperFrame(
  view: DataView,
  vnetAt: number,
  readAt: number,
  frameAt: number,
  headers: FrameHeaders,
  frame: SuperFrame,
): boolean {
  const { ipVersion, networkAt, networkEnd } = headers;
  const type = gsoType(view, vnetAt);
  const isTcp = type === GSO_TYPE.tcpv4 || type === GSO_TYPE.tcpv6;
  if (ipVersion === 0 || !needsChecksum(view, vnetAt)) return false;
  if (isTcp ? ipVersion !== (type === GSO_TYPE.tcpv4 ? 4 : 6) : type !== GSO_TYPE.udp) return false;
  const transportAt = readAt + checksumStart(view, vnetAt);
  // For IPv6 there may be extension headers in between, which are not parsed.
  if (headers.transport === 0 && ipVersion === 4) return false;
  if (headers.transport !== 0 && transportAt !== headers.transportAt) return false;
  if (transportAt < networkAt + IPV6_HEADER_BYTES && ipVersion === 6) return false;
  const minBytes = isTcp ? TCP_MIN_HEADER_BYTES : UDP_HEADER_BYTES;
  if (transportAt + minBytes > networkEnd) return false;
  const transportBytes = isTcp ? tcpHeaderBytes(view, transportAt) : UDP_HEADER_BYTES;
  const payloadBytes = networkEnd - transportAt - transportBytes;
  const segmentBytes = gsoSize(view, vnetAt);
  if (transportBytes < minBytes || payloadBytes <= 0 || segmentBytes === 0) return false;
  frame.at = frameAt;
  frame.ipVersion = ipVersion;
  frame.networkAt = networkAt;
  frame.isTcp = isTcp;
  frame.transportAt = transportAt;
  frame.headerBytes = transportAt + transportBytes - frameAt;
  frame.payloadBytes = payloadBytes;
  frame.segmentBytes = segmentBytes;
  frame.segments = Math.ceil(payloadBytes / segmentBytes);
  return true;
}

/**
 * Whether a super-frame would become more datagrams than a normal sender causes: 60 KB in segments of one octet would be 60,000 datagrams. TCP sends
 * less than MIN_TCP_SEGMENT_BYTES only in the last segment, and the kernel cuts UDP into at most MAX_UDP_SUPER_SEGMENTS.
 */
export function isShredded({ isTcp, segments, segmentBytes, headerBytes, at, transportAt }: SuperFrame): boolean {
  if (segments === 1) return false;
  if (!isTcp) return segments > MAX_UDP_SUPER_SEGMENTS;
  const optionBytes = at + headerBytes - transportAt - TCP_MIN_HEADER_BYTES;
  return optionBytes + segmentBytes < MIN_TCP_SEGMENT_BYTES || segments > MAX_TCP_SUPER_SEGMENTS;
}

/**
 * Writes segments `first` to `first + count - 1` in sequence at `to`. Payload is copied and summed in one pass.
 *
 * @param prefixBytes octets in front of the super-frame that are repeated in front of each segment: the header of a datagram
 * @returns octets written
 */
export function writeSegments(
  view: DataView,
  sums: OctetSums,
  frame: SuperFrame,
  first: number,
  count: number,
  prefixBytes: number,
  to: number,
): number {
  const { at, ipVersion, networkAt, transportAt, headerBytes, segmentBytes, isTcp } = frame;
  const repeatedAt = at - prefixBytes;
  const repeatedBytes = prefixBytes + headerBytes;
  const payloadAt = at + headerBytes;
  const networkBytes = transportAt - networkAt;
  const transportBytes = payloadAt - transportAt;
  const networkSum = ipVersion === 4 ? constantNetworkSum(view, sums, frame) : 0;
  const transportSum = constantTransportSum(view, sums, frame);
  const id = view.getUint16(networkAt + IPV4_ID_AT);
  const sequence = view.getInt32(transportAt + TCP_SEQUENCE_AT);
  const flags = view.getUint16(transportAt + TCP_FLAGS_WORD_AT);
  let next = to;
  for (let i = first; i < first + count; i++) {
    const offset = i * segmentBytes;
    const payload = Math.min(segmentBytes, frame.payloadBytes - offset);
    sums.copySum(next, repeatedAt, repeatedBytes);
    const payloadSum = sums.copySum(next + repeatedBytes, payloadAt + offset, payload);
    const network = next + networkAt - repeatedAt;
    const transport = network + networkBytes;
    const bytes = transportBytes + payload;
    if (ipVersion === 4) writeIpv4(view, network, networkBytes + bytes, (id + i) & 0xffff, networkSum);
    else view.setUint16(network + IPV6_LENGTH_AT, networkBytes - IPV6_HEADER_BYTES + bytes);
    const sum = transportSum + payloadSum + bytes;
    if (isTcp) {
      writeTcp(view, transport, (sequence + offset) | 0, segmentFlags(flags, i, frame.segments), sum);
    } else {
      view.setUint16(transport + UDP_LENGTH_AT, bytes);
      const checksum = ~foldSum(sum + bytes) & 0xffff;
      // Zero would mean that there is no checksum (RFC 768).
      view.setUint16(transport + UDP_CHECKSUM_AT, checksum === 0 ? 0xffff : checksum);
    }
    next += repeatedBytes + payload;
  }
  return next - to;
}

/** Sum of the IPv4 header without length, id and checksum. */
function constantNetworkSum(view: DataView, sums: OctetSums, { networkAt, transportAt }: SuperFrame): number {
  return (
    sums.sum(networkAt, transportAt - networkAt) +
    minus(view.getUint16(networkAt + IPV4_LENGTH_AT)) +
    minus(view.getUint16(networkAt + IPV4_ID_AT)) +
    minus(view.getUint16(networkAt + IPV4_CHECKSUM_AT))
  );
}

/**
 * Sum of the transport header without the fields that differ between segments. Its checksum field holds the sum of the pseudo-header. That part is
 * kept, except the length: with a routing header, only the sender of the packet knows the sum.
 */
function constantTransportSum(view: DataView, sums: OctetSums, frame: SuperFrame): number {
  const { transportAt, isTcp } = frame;
  const bytes = frame.at + frame.headerBytes - transportAt;
  const sum = sums.sum(transportAt, bytes) + minus((bytes + frame.payloadBytes) & 0xffff);
  if (!isTcp) return sum + minus(view.getUint16(transportAt + UDP_LENGTH_AT));
  return (
    sum +
    minus(view.getUint16(transportAt + TCP_SEQUENCE_AT)) +
    minus(view.getUint16(transportAt + TCP_SEQUENCE_AT + 2)) +
    minus(view.getUint16(transportAt + TCP_FLAGS_WORD_AT))
  );
}

/** To subtract a word from a ones' complement sum, add its complement (RFC 1624). */
function minus(word: number): number {
  return 0xffff ^ word;
}

function writeIpv4(view: DataView, at: number, bytes: number, id: number, constantSum: number): void {
  view.setUint16(at + IPV4_LENGTH_AT, bytes);
  view.setUint16(at + IPV4_ID_AT, id);
  view.setUint16(at + IPV4_CHECKSUM_AT, ~foldSum(constantSum + bytes + id));
}

function writeTcp(view: DataView, at: number, sequence: number, flags: number, sum: number): void {
  view.setInt32(at + TCP_SEQUENCE_AT, sequence);
  view.setUint16(at + TCP_FLAGS_WORD_AT, flags);
  view.setUint16(at + TCP_CHECKSUM_AT, ~foldSum(sum + (sequence >>> 16) + (sequence & 0xffff) + flags));
}

function segmentFlags(flags: number, segment: number, segments: number): number {
  const last = segment === segments - 1 ? flags : flags & ~(TCP_FLAG.fin | TCP_FLAG.psh);
  return segment === 0 ? last : last & ~TCP_FLAG.cwr;
}
