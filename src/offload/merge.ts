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
 * Puts the frames of one flow together to a super-frame for a TAP, as the kernel's GRO does (net/core/gro.c, net/ipv4/tcp_offload.c), and
 * so strictly that cutting it again gives the same frames: nothing is merged that differs in more than it must, or whose checksums are wrong.
 */

/** Frames of one run at most. */
export const MAX_RUN_FRAMES = 64;

/** An IP packet's length field holds no more; the Ethernet header is counted in, to stay below 64 KB in all. */
const MAX_RUN_BYTES = 65_535;

const IPV4_ID_AT = 4;
const IPV4_FRAGMENT_AT = 6;
const IPV4_DF = 0x4000;
const IPV4_CHECKSUM_AT = 10;
const UDP_LENGTH_AT = 4;

/** Data offset, reserved bits and flags, without the data offset. */
const TCP_FLAGS_MASK = 0x0fff;

/**
 * Octets of payload if the frame is of a kind that can be merged, else 0: TCP with no flag but ACK and PSH, or UDP with a checksum; no IP
 * options, no padding.
 *
 * @param headers what `locateHeaders` found of this frame
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

/** Frames of one flow that are to be written as one. They stay where they are; the first one's headers are the run's. */
export class MergeRun {
  /** Frames; 0: the run is free. */
  count = 0;
  tap = 0;
  /** Of the segment that the frames belong to. */
  segmentIndex = 0;
  /** What is to be written one behind the other: the first frame whole, then payloads. */
  readonly pieceAt = new Int32Array(MAX_RUN_FRAMES);
  readonly pieceBytes = new Int32Array(MAX_RUN_FRAMES);
  /** From the start of a frame to its payload. */
  headerBytes = 0;
  payloadBytes = 0;
  readonly #view: DataView;
  readonly #sums: OctetSums;
  #at = 0;
  #ipVersion = 0;
  #networkAt = 0;
  #transport = 0;
  #transportAt = 0;
  #segmentBytes = 0;
  #nextSequence = 0;
  /** Nothing may follow: the last frame was a shorter one, or pushed. */
  #isComplete = false;
  #isPushed = false;
  #isVerified = false;

  constructor(view: DataView, sums: OctetSums) {
    this.#view = view;
    this.#sums = sums;
  }

  /** Makes this the run of one mergeable frame. Its buffer stays the run's until that is free again. */
  open(segmentIndex: number, tap: number, at: number, payloadBytes: number, headers: FrameHeaders): void {
    this.count = 1;
    this.segmentIndex = segmentIndex;
    this.tap = tap;
    this.pieceAt[0] = at;
    this.pieceBytes[0] = headers.networkEnd - at;
    this.headerBytes = headers.networkEnd - payloadBytes - at;
    this.payloadBytes = payloadBytes;
    this.#at = at;
    this.#ipVersion = headers.ipVersion;
    this.#networkAt = headers.networkAt;
    this.#transport = headers.transport;
    this.#transportAt = headers.transportAt;
    this.#segmentBytes = payloadBytes;
    this.#isComplete = false;
    this.#isPushed = false;
    this.#isVerified = false;
    this.#follow(headers, payloadBytes);
  }

  /** Whether a TCP or UDP frame for a TAP is of this run's flow: same MACs, tags, addresses and ports. */
  isFlowOf(tap: number, at: number, { ipVersion, networkAt, transport, transportAt }: FrameHeaders): boolean {
    const view = this.#view;
    return (
      this.count !== 0 &&
      view.getInt32(transportAt) === view.getInt32(this.#transportAt) &&
      tap === this.tap &&
      transport === this.#transport &&
      ipVersion === this.#ipVersion &&
      networkAt - at === this.#networkAt - this.#at &&
      equals(view, at, this.#at, networkAt - at) &&
      (ipVersion === 4
        ? equals(view, networkAt + 12, this.#networkAt + 12, 8)
        : equals(view, networkAt + 8, this.#networkAt + 8, 32))
    );
  }

  /** Adds a mergeable frame of this flow, if cutting the run again would give just that frame behind those that are in it. */
  append(at: number, payloadBytes: number, headers: FrameHeaders): boolean {
    if (!this.#continuesWith(at, payloadBytes, headers)) return false;
    this.#isVerified ||= this.#isSound(this.#networkAt, this.#transportAt, this.#at + (this.pieceBytes[0] as number));
    if (!this.#isVerified || !this.#isSound(headers.networkAt, headers.transportAt, headers.networkEnd)) return false;
    this.pieceAt[this.count] = at + this.headerBytes;
    this.pieceBytes[this.count++] = payloadBytes;
    this.payloadBytes += payloadBytes;
    this.#follow(headers, payloadBytes);
    return true;
  }

  /** Makes the first frame's headers those of the whole, unfinished checksum included, and writes the vnet header that says so. */
  finish(vnetAt: number): void {
    const view = this.#view;
    const isTcp = this.#transport === IP_PROTOCOL.tcp;
    const checksumAt = isTcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
    const bytes = this.#at + this.headerBytes + this.payloadBytes - this.#transportAt;
    this.#setLengths(bytes);
    if (isTcp && this.#isPushed) this.#setPush(TCP_FLAG.psh);
    const pseudo = pseudoHeaderSum(view, this.#networkAt, this.#ipVersion, this.#transport, bytes);
    view.setUint16(this.#transportAt + checksumAt, pseudo);
    writePartialHeader(view, vnetAt, this.#transportAt - this.#at, checksumAt);
    const tcpType = this.#ipVersion === 4 ? GSO_TYPE.tcpv4 : GSO_TYPE.tcpv6;
    markSuperFrame(view, vnetAt, isTcp ? tcpType : GSO_TYPE.udp, this.headerBytes, this.#segmentBytes);
  }

  /** Takes `finish` back: the first frame is again what it was, its vnet header a plain one. Only of runs of several frames. */
  unfinish(vnetAt: number): void {
    const view = this.#view;
    const isTcp = this.#transport === IP_PROTOCOL.tcp;
    const bytes = this.#at + (this.pieceBytes[0] as number) - this.#transportAt;
    this.#setLengths(bytes);
    // A first frame that was pushed had nothing behind it.
    if (isTcp) this.#setPush(0);
    const pseudo = pseudoHeaderSum(view, this.#networkAt, this.#ipVersion, this.#transport, bytes);
    const checksumAt = isTcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
    view.setUint16(this.#transportAt + checksumAt, pseudo);
    completeChecksum(view, this.#sums, this.#transportAt, this.#transportAt + bytes, checksumAt);
    writePlainHeader(view, vnetAt);
  }

  #follow({ transport, transportAt }: FrameHeaders, payloadBytes: number): void {
    const view = this.#view;
    if (transport === IP_PROTOCOL.tcp) {
      this.#nextSequence = (view.getInt32(transportAt + 4) + payloadBytes) | 0;
      this.#isPushed = (view.getUint8(transportAt + TCP_FLAGS_AT) & TCP_FLAG.psh) !== 0;
    }
    this.#isComplete = payloadBytes < this.#segmentBytes || this.#isPushed;
  }

  #continuesWith(at: number, payloadBytes: number, { networkEnd, networkAt, transportAt }: FrameHeaders): boolean {
    if (this.#isComplete || this.count === MAX_RUN_FRAMES || payloadBytes > this.#segmentBytes) return false;
    if (networkEnd - payloadBytes - at !== this.headerBytes) return false;
    if (this.headerBytes + this.payloadBytes + payloadBytes > MAX_RUN_BYTES) return false;
    if (this.#ipVersion === 4 ? !this.#continuesIpv4(networkAt) : !this.#continuesIpv6(networkAt)) return false;
    return this.#transport === IP_PROTOCOL.udp || this.#continuesTcp(transportAt);
  }

  /** Same TOS, TTL, DF; the id counts up, unless DF says that it means nothing (RFC 6864 §4.1). */
  #continuesIpv4(networkAt: number): boolean {
    const view = this.#view;
    const fragment = view.getUint16(networkAt + IPV4_FRAGMENT_AT);
    const id = (view.getUint16(this.#networkAt + IPV4_ID_AT) + this.count) & 0xffff;
    return (
      view.getUint16(networkAt) === view.getUint16(this.#networkAt) &&
      fragment === view.getUint16(this.#networkAt + IPV4_FRAGMENT_AT) &&
      view.getUint16(networkAt + 8) === view.getUint16(this.#networkAt + 8) &&
      ((fragment & IPV4_DF) !== 0 || view.getUint16(networkAt + IPV4_ID_AT) === id)
    );
  }

  /** Same traffic class, flow label, hop limit. */
  #continuesIpv6(networkAt: number): boolean {
    const view = this.#view;
    return (
      view.getInt32(networkAt) === view.getInt32(this.#networkAt) &&
      view.getUint16(networkAt + 6) === view.getUint16(this.#networkAt + 6)
    );
  }

  /** Next in sequence; same acknowledgement, window, urgent pointer and options. The flags are ACK, perhaps with PSH. */
  #continuesTcp(transportAt: number): boolean {
    const view = this.#view;
    const ownAt = this.#transportAt;
    const optionBytes = this.#at + this.headerBytes - ownAt - 20;
    return (
      view.getInt32(transportAt + 4) === this.#nextSequence &&
      view.getInt32(transportAt + 8) === view.getInt32(ownAt + 8) &&
      view.getUint16(transportAt + 14) === view.getUint16(ownAt + 14) &&
      view.getUint16(transportAt + 18) === view.getUint16(ownAt + 18) &&
      equals(view, transportAt + 20, ownAt + 20, optionBytes)
    );
  }

  /** Whether the checksums of a frame are right. A wrong one must reach its receiver, who drops the frame: merging would mend it. */
  #isSound(networkAt: number, transportAt: number, networkEnd: number): boolean {
    // The addresses of the pseudo-header stand right in front of the transport header.
    const addressBytes = this.#ipVersion === 4 ? 8 : 32;
    const sum = this.#sums.sum(transportAt - addressBytes, addressBytes + networkEnd - transportAt);
    if (foldSum(sum + this.#transport + networkEnd - transportAt) !== 0xffff) return false;
    return this.#ipVersion === 6 || this.#sums.sum(networkAt, IPV4_MIN_HEADER_BYTES) === 0xffff;
  }

  #setLengths(transportBytes: number): void {
    const view = this.#view;
    if (this.#transport === IP_PROTOCOL.udp) view.setUint16(this.#transportAt + UDP_LENGTH_AT, transportBytes);
    if (this.#ipVersion === 6) {
      view.setUint16(this.#networkAt + 4, transportBytes);
      return;
    }
    view.setUint16(this.#networkAt + 2, IPV4_MIN_HEADER_BYTES + transportBytes);
    view.setUint16(this.#networkAt + IPV4_CHECKSUM_AT, 0);
    view.setUint16(this.#networkAt + IPV4_CHECKSUM_AT, ~this.#sums.sum(this.#networkAt, IPV4_MIN_HEADER_BYTES));
  }

  #setPush(push: number): void {
    const flagsAt = this.#transportAt + TCP_FLAGS_AT;
    this.#view.setUint8(flagsAt, (this.#view.getUint8(flagsAt) & ~TCP_FLAG.psh) | push);
  }
}

/** Whether `length` octets, an even number, are the same at both places. */
function equals(view: DataView, a: number, b: number, length: number): boolean {
  let offset = 0;
  for (; offset + 4 <= length; offset += 4) if (view.getInt32(a + offset) !== view.getInt32(b + offset)) return false;
  return offset === length || view.getUint16(a + offset) === view.getUint16(b + offset);
}
