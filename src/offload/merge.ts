import { foldSum, pseudoHeaderSum } from '../wire/checksum.ts';
import {
  type FrameHeaders,
  IP_PROTOCOL,
  IPV4_MIN_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  TCP_CHECKSUM_AT,
  TCP_FLAG,
  TCP_FLAGS_AT,
  tcpHeaderBytes,
  UDP_CHECKSUM_AT,
  UDP_HEADER_BYTES,
} from '../wire/ip.ts';
import { completeChecksum, type OctetSums } from '../wire/octet-sums.ts';
import { GSO_TYPE, markSuperFrame, writePartialHeader, writePlainHeader } from '../wire/vnet-hdr.ts';

/**
 * Merges the frames of one flow into a super-frame for a TAP, as GRO of the kernel does (net/core/gro.c, net/ipv4/tcp_offload.c). The rules are
 * strict: cutting the super-frame again must give the same frames. So a frame is not merged if other fields than necessary differ, or if its
 * checksums are wrong.
 */

/** Maximum frames of one run. */
export const MAX_RUN_FRAMES = 64;

/** The limit of the length field of an IP packet. The Ethernet header counts too, so that the whole stays below 64 KB. */
const MAX_RUN_BYTES = 65_535;

const IPV4_LENGTH_AT = 2;
const IPV4_ID_AT = 4;
const IPV4_FRAGMENT_AT = 6;
const IPV4_DF = 0x4000;
const IPV4_CHECKSUM_AT = 10;
const IPV6_LENGTH_AT = 4;
const TCP_SEQUENCE_AT = 4;
const UDP_LENGTH_AT = 4;

/** Data offset, reserved bits and flags, without the data offset. */
const TCP_FLAGS_MASK = 0x0fff;

/**
 * Octets of payload if the frame can be merged, else 0: TCP with no flags but ACK and PSH, or UDP with a checksum; no IP options, no padding.
 *
 * @param headers what `locateHeaders` found in this frame
 */
export function mergeablePayload(view: DataView, at: number, length: number, headers: FrameHeaders): number {
  const { ipVersion, networkAt, networkEnd, transport, transportAt } = headers;
  if (transport === 0 || networkEnd !== at + length) return 0;
  if (transportAt - networkAt !== (ipVersion === 4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES)) return 0;
  const bytes = networkEnd - transportAt;
  if (transport === IP_PROTOCOL.tcp) {
    const flags = view.getUint16(transportAt + TCP_FLAGS_AT - 1) & TCP_FLAGS_MASK;
    return (flags & ~TCP_FLAG.psh) === TCP_FLAG.ack ? bytes - tcpHeaderBytes(view, transportAt) : 0;
  }
  if (view.getUint16(transportAt + UDP_LENGTH_AT) !== bytes || view.getUint16(transportAt + UDP_CHECKSUM_AT) === 0)
    return 0;
  return bytes - UDP_HEADER_BYTES;
}

/** Maximum octets in front of the payload: Ethernet, three tags, IPv6, TCP with all its options. A frame with more is not merged. */
export const MAX_HEADER_BYTES = 14 + 12 + 40 + 60;

/** Frames of one flow that are written as one. They stay in place. The headers of the first frame are the headers of the run. */
export class MergeRun {
  /** Number of frames. 0: the run is free. */
  count = 0;
  tap = 0;
  /** Index of the segment of the frames. */
  segmentIndex = 0;
  /** The pieces to write in sequence: the whole first frame, then payloads. */
  readonly pieceAt = new Int32Array(MAX_RUN_FRAMES);
  readonly pieceBytes = new Int32Array(MAX_RUN_FRAMES);
  /** Octets from the start of a frame to its payload. */
  headerBytes = 0;
  payloadBytes = 0;
  readonly #view: DataView;
  readonly #sums: OctetSums;
  /** Place of a mask: the bits that are equal in the headers of all frames of a run. */
  readonly #maskAt: number;
  #at = 0;
  #isTcp = false;
  #ipVersion = 0;
  #networkAt = 0;
  #transportAt = 0;
  #segmentBytes = 0;
  #nextSequence = 0;
  /** No frame may follow: the last one was shorter, or had PSH set. */
  #isComplete = false;
  #isPushed = false;
  #isVerified = false;

  /** @param maskAt place of MAX_HEADER_BYTES octets for this run */
  constructor(view: DataView, sums: OctetSums, maskAt: number) {
    this.#view = view;
    this.#sums = sums;
    this.#maskAt = maskAt;
  }

  /** Starts the run with one mergeable frame. The run owns the buffer of the frame until the run is free again. */
  open(segmentIndex: number, tap: number, at: number, payloadBytes: number, headers: FrameHeaders): void {
    const headerBytes = headers.networkEnd - payloadBytes - at;
    this.count = 1;
    this.segmentIndex = segmentIndex;
    this.tap = tap;
    this.pieceAt[0] = at;
    this.pieceBytes[0] = headerBytes + payloadBytes;
    this.headerBytes = headerBytes;
    this.payloadBytes = payloadBytes;
    this.#at = at;
    this.#isTcp = headers.transport === IP_PROTOCOL.tcp;
    this.#ipVersion = headers.ipVersion;
    this.#networkAt = headers.networkAt;
    this.#transportAt = headers.transportAt;
    this.#segmentBytes = payloadBytes;
    this.#isComplete = false;
    this.#isPushed = false;
    this.#isVerified = false;
    this.#writeMask();
    this.#follow(headers.transportAt, payloadBytes);
  }

  /** Whether a TCP or UDP frame for a TAP belongs to the flow of this run: same MACs, tags, addresses and ports. */
  isFlowOf(tap: number, at: number, { ipVersion, networkAt, transport, transportAt }: FrameHeaders): boolean {
    const view = this.#view;
    return (
      this.count !== 0 &&
      view.getInt32(transportAt) === view.getInt32(this.#transportAt) &&
      tap === this.tap &&
      (transport === IP_PROTOCOL.tcp) === this.#isTcp &&
      ipVersion === this.#ipVersion &&
      networkAt - at === this.#networkAt - this.#at &&
      equals(view, at, this.#at, networkAt - at) &&
      (ipVersion === 4
        ? equals(view, networkAt + 12, this.#networkAt + 12, 8)
        : equals(view, networkAt + 8, this.#networkAt + 8, 32))
    );
  }

  /** Appends a frame, if cutting the run would give exactly this frame after the earlier ones. Returns whether it was appended. */
  append(tap: number, at: number, length: number): boolean {
    const payloadBytes = length - this.headerBytes;
    if (!this.#hasRoomFor(tap, payloadBytes) || !this.#continuesWith(at, length)) return false;
    this.#isVerified ||= this.#isSound(this.#at, this.pieceBytes[0] as number);
    if (!this.#isVerified || !this.#isSound(at, length)) return false;
    this.pieceAt[this.count] = at + this.headerBytes;
    this.pieceBytes[this.count++] = payloadBytes;
    this.payloadBytes += payloadBytes;
    this.#follow(at + this.#transportAt - this.#at, payloadBytes);
    return true;
  }

  /** Changes the headers of the first frame to those of the super-frame, with an unfinished checksum, and writes the vnet header for it. */
  finish(vnetAt: number): void {
    const bytes = this.#at + this.headerBytes + this.payloadBytes - this.#transportAt;
    const checksumAt = this.#setHeaders(bytes, this.#isPushed ? TCP_FLAG.psh : 0);
    writePartialHeader(this.#view, vnetAt, this.#transportAt - this.#at, checksumAt);
    const tcpType = this.#ipVersion === 4 ? GSO_TYPE.tcpv4 : GSO_TYPE.tcpv6;
    markSuperFrame(this.#view, vnetAt, this.#isTcp ? tcpType : GSO_TYPE.udp, this.headerBytes, this.#segmentBytes);
  }

  /** Undoes `finish`: the first frame is as before, with a plain vnet header. Only for runs of several frames. */
  unfinish(vnetAt: number): void {
    const end = this.#at + (this.pieceBytes[0] as number);
    // If the first frame had PSH set, no frame followed it.
    const checksumAt = this.#setHeaders(end - this.#transportAt, 0);
    completeChecksum(this.#view, this.#sums, this.#transportAt, end, checksumAt);
    writePlainHeader(this.#view, vnetAt);
  }

  /** The mask covers all bits except lengths, IPv4 id, checksums, TCP sequence number and PSH. */
  #writeMask(): void {
    const view = this.#view;
    const mask = this.#maskAt;
    const network = mask + this.#networkAt - this.#at;
    const transport = mask + this.#transportAt - this.#at;
    let at = mask;
    for (const last = mask + this.headerBytes - 4; at <= last; at += 4) view.setInt32(at, -1);
    for (const end = mask + this.headerBytes; at < end; at++) view.setUint8(at, 0xff);
    if (this.#ipVersion === 6) {
      view.setUint16(network + IPV6_LENGTH_AT, 0);
    } else {
      view.setInt32(network + IPV4_LENGTH_AT, 0); // and the id
      view.setUint16(network + IPV4_CHECKSUM_AT, 0);
    }
    if (this.#isTcp) {
      view.setInt32(transport + TCP_SEQUENCE_AT, 0);
      view.setUint8(transport + TCP_FLAGS_AT, ~TCP_FLAG.psh);
      view.setUint16(transport + TCP_CHECKSUM_AT, 0);
    } else {
      view.setInt32(transport + UDP_LENGTH_AT, 0); // and the checksum
    }
  }

  #follow(transportAt: number, payloadBytes: number): void {
    const view = this.#view;
    if (this.#isTcp) {
      this.#nextSequence = (view.getInt32(transportAt + TCP_SEQUENCE_AT) + payloadBytes) | 0;
      this.#isPushed = (view.getUint8(transportAt + TCP_FLAGS_AT) & TCP_FLAG.psh) !== 0;
    }
    this.#isComplete = payloadBytes < this.#segmentBytes || this.#isPushed;
  }

  #hasRoomFor(tap: number, payloadBytes: number): boolean {
    return (
      !this.#isComplete &&
      tap === this.tap &&
      payloadBytes > 0 &&
      payloadBytes <= this.#segmentBytes &&
      this.count !== 0 &&
      this.count !== MAX_RUN_FRAMES &&
      this.headerBytes + this.payloadBytes + payloadBytes <= MAX_RUN_BYTES
    );
  }

  /** Whether the headers of a frame equal those of the first one, apart from the fields that identify it as the next frame. */
  #continuesWith(at: number, length: number): boolean {
    if (this.#sums.equalUnder(this.#maskAt, at, this.#at, this.headerBytes) === 0) return false;
    const view = this.#view;
    const networkAt = at + this.#networkAt - this.#at;
    const transportAt = at + this.#transportAt - this.#at;
    const networkBytes = at + length - networkAt;
    if (this.#ipVersion === 6) {
      if (view.getUint16(networkAt + IPV6_LENGTH_AT) !== networkBytes - IPV6_HEADER_BYTES) return false;
    } else if (view.getUint16(networkAt + IPV4_LENGTH_AT) !== networkBytes || !this.#isNextId(networkAt)) {
      return false;
    }
    if (this.#isTcp) return view.getInt32(transportAt + TCP_SEQUENCE_AT) === this.#nextSequence;
    const hasChecksum = view.getUint16(transportAt + UDP_CHECKSUM_AT) !== 0;
    return hasChecksum && view.getUint16(transportAt + UDP_LENGTH_AT) === at + length - transportAt;
  }

  /** The IPv4 id increases by one, unless DF says that it has no meaning (RFC 6864 §4.1). */
  #isNextId(networkAt: number): boolean {
    const view = this.#view;
    if ((view.getUint16(networkAt + IPV4_FRAGMENT_AT) & IPV4_DF) !== 0) return true;
    const next = (view.getUint16(this.#networkAt + IPV4_ID_AT) + this.count) & 0xffff;
    return view.getUint16(networkAt + IPV4_ID_AT) === next;
  }

  /** Whether the checksums of a frame are correct. A frame with a wrong one must reach its receiver, who drops it. Merging would hide the error. */
  #isSound(at: number, length: number): boolean {
    const transportAt = at + this.#transportAt - this.#at;
    const end = at + length;
    const protocol = this.#isTcp ? IP_PROTOCOL.tcp : IP_PROTOCOL.udp;
    // The addresses of the pseudo-header are directly in front of the transport header.
    const addressBytes = this.#ipVersion === 4 ? 8 : 32;
    const sum = this.#sums.sum(transportAt - addressBytes, addressBytes + end - transportAt);
    if (foldSum(sum + protocol + end - transportAt) !== 0xffff) return false;
    return this.#ipVersion === 6 || this.#sums.sum(at + this.#networkAt - this.#at, IPV4_MIN_HEADER_BYTES) === 0xffff;
  }

  /** Sets lengths, PSH and checksums; the transport checksum stays unfinished. Returns the offset of the checksum in the transport header. */
  #setHeaders(transportBytes: number, push: number): number {
    const view = this.#view;
    const [networkAt, transportAt] = [this.#networkAt, this.#transportAt];
    if (this.#ipVersion === 6) {
      view.setUint16(networkAt + IPV6_LENGTH_AT, transportBytes);
    } else {
      view.setUint16(networkAt + IPV4_LENGTH_AT, IPV4_MIN_HEADER_BYTES + transportBytes);
      view.setUint16(networkAt + IPV4_CHECKSUM_AT, 0);
      view.setUint16(networkAt + IPV4_CHECKSUM_AT, ~this.#sums.sum(networkAt, IPV4_MIN_HEADER_BYTES));
    }
    if (this.#isTcp) {
      const flags = view.getUint8(transportAt + TCP_FLAGS_AT) & ~TCP_FLAG.psh;
      view.setUint8(transportAt + TCP_FLAGS_AT, flags | push);
    } else {
      view.setUint16(transportAt + UDP_LENGTH_AT, transportBytes);
    }
    const checksumAt = this.#isTcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
    const protocol = this.#isTcp ? IP_PROTOCOL.tcp : IP_PROTOCOL.udp;
    view.setUint16(
      transportAt + checksumAt,
      pseudoHeaderSum(view, networkAt, this.#ipVersion, protocol, transportBytes),
    );
    return checksumAt;
  }
}

/** Whether `length` octets, an even number, are equal at both places. */
function equals(view: DataView, a: number, b: number, length: number): boolean {
  let offset = 0;
  for (; offset + 4 <= length; offset += 4) if (view.getInt32(a + offset) !== view.getInt32(b + offset)) return false;
  return offset === length || view.getUint16(a + offset) === view.getUint16(b + offset);
}
