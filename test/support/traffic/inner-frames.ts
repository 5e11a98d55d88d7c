/**
 * Inner frames of TCP and UDP, and the naive oracle that cuts super-frames into them. As frames.ts: clear rather than
 * fast, and deliberately not src/wire or src/offload.
 */
import { internetChecksum, ipBytes, macBytes } from './frames.ts';
import { ip6Bytes } from './ipv6.ts';
import type { CapturedFrame } from './packet-socket.ts';

const [TCP, UDP] = [6, 17];
const [PSH, FIN, CWR] = [0x08, 0x01, 0x80];

/** Who speaks to whom. The addresses decide about the IP version. */
export interface Link {
  readonly dstMac: string;
  readonly srcMac: string;
  readonly src: string;
  readonly dst: string;
  /** VLAN tags, TPID and TCI, outermost first. */
  readonly tags?: readonly (readonly [number, number])[];
}

/** To a station that is not there: nobody answers. */
export const MACS = { dstMac: '02:00:00:00:00:66', srcMac: '02:00:00:00:00:77' };
export const IPV4: Link = { ...MACS, src: '192.0.2.77', dst: '192.0.2.66' };
export const IPV6: Link = { ...MACS, src: 'fd00:2::77', dst: 'fd00:2::66' };
export const PORTS = { sourcePort: 40_000, destinationPort: 7 };

export interface Packet {
  readonly protocol: number;
  /** Transport header and all behind it. */
  readonly payload: Buffer;
  /** IPv4. Default 0, and DF set. */
  readonly identification?: number;
  /** IPv4: flags and fragment offset as they stand. */
  readonly fragment?: number;
  /** IPv4: whole words. */
  readonly options?: Buffer;
  readonly ttl?: number;
  readonly tos?: number;
  /** IPv6: what stands between the header and the payload, its first header's number being `protocol`. */
  readonly extensions?: Buffer;
}

export interface Ports {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface TcpSegment extends Ports {
  readonly sequence: number;
  readonly payload: Buffer;
  /** Default ACK. */
  readonly flags?: number;
  readonly acknowledgement?: number;
  readonly window?: number;
  /** Default: a timestamp, as every Linux sends. */
  readonly options?: Buffer;
}

export interface UdpDatagram extends Ports {
  readonly payload: Buffer;
  readonly zeroChecksum?: boolean;
}

const TIMESTAMP = Buffer.from('0101080a0000000100000002', 'hex');

export function frame(link: Link, packet: Packet): Buffer {
  const isIpv6 = link.src.includes(':');
  const tags = (link.tags ?? []).map(([tpid, tci]) => words(tpid, tci));
  const type = words(isIpv6 ? 0x86dd : 0x0800);
  const ip = isIpv6 ? ipv6Packet(link, packet) : ipv4Packet(link, packet);
  return Buffer.concat([macBytes(link.dstMac), macBytes(link.srcMac), ...tags, type, ip]);
}

export function tcpFrame(link: Link, segment: TcpSegment, packet: Partial<Packet> = {}): Buffer {
  return frame(link, { ...packet, protocol: packet.protocol ?? TCP, payload: tcpBytes(link, segment) });
}

export function udpFrame(link: Link, datagram: UdpDatagram, packet: Partial<Packet> = {}): Buffer {
  return frame(link, { ...packet, protocol: packet.protocol ?? UDP, payload: udpBytes(link, datagram) });
}

export function tcpBytes(link: Link, segment: TcpSegment): Buffer {
  const { sourcePort, destinationPort, sequence, payload, flags = 0x10, options = TIMESTAMP } = segment;
  const header = Buffer.alloc(20);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt32BE(sequence >>> 0, 4);
  header.writeUInt32BE(segment.acknowledgement ?? 1, 8);
  header.writeUInt8((20 + options.length) << 2, 12);
  header.writeUInt8(flags, 13);
  header.writeUInt16BE(segment.window ?? 500, 14);
  const bytes = Buffer.concat([header, options, payload]);
  bytes.writeUInt16BE(transportChecksum(link, TCP, bytes), 16);
  return bytes;
}

export function udpBytes(link: Link, { sourcePort, destinationPort, payload, zeroChecksum }: UdpDatagram): Buffer {
  const bytes = Buffer.concat([words(sourcePort, destinationPort, 8 + payload.length, 0), payload]);
  if (!zeroChecksum) bytes.writeUInt16BE(transportChecksum(link, UDP, bytes) || 0xffff, 6);
  return bytes;
}

/** The frame longer by zeros, as short ones are padded. */
export function padded(bytes: Buffer, length: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
}

/** A copy with the word at an offset from the frame's end (negative) or start turned into another one. */
export function corrupted(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(copy.readUInt16BE(at) ^ 0x5a5a, at);
  return copy;
}

/** Offsets in an untagged frame of `tcpFrame` and `udpFrame`. */
export function offsets({ src }: Link) {
  const transport = 14 + (src.includes(':') ? 40 : 20);
  return { ipv4Checksum: 14 + 10, tcpChecksum: transport + 16, udpChecksum: transport + 6 };
}

/** What a captured frame stands for: itself, finished; or, of a super-frame, the frames that it is to be cut into. */
export function cut({ bytes, segmentBytes, unfinished }: CapturedFrame): Buffer[] {
  if (!unfinished && segmentBytes === 0) return [bytes];
  let network = 14;
  for (let type = bytes.readUInt16BE(12); type === 0x8100 || type === 0x88a8; network += 4) {
    type = bytes.readUInt16BE(network + 2);
  }
  const isIpv6 = bytes.readUInt8(network) >> 4 === 6;
  const protocol = bytes.readUInt8(network + (isIpv6 ? 6 : 9));
  const transport = network + (isIpv6 ? 40 : (bytes.readUInt8(network) & 15) * 4);
  const headers = transport + (protocol === TCP ? (bytes.readUInt8(transport + 12) >> 4) * 4 : 8);
  const size = segmentBytes || Math.max(1, bytes.length - headers);
  const count = Math.max(1, Math.ceil((bytes.length - headers) / size));
  return Array.from({ length: count }, (_, i) => {
    const payload = bytes.subarray(headers + i * size, headers + (i + 1) * size);
    const piece = Buffer.concat([bytes.subarray(0, headers), payload]);
    const length = piece.length - transport;
    if (isIpv6) piece.writeUInt16BE(piece.length - network - 40, network + 4);
    else finishIpv4(piece.subarray(network, transport), piece.length - network, i);
    if (protocol === TCP) {
      piece.writeUInt32BE((piece.readUInt32BE(transport + 4) + i * size) >>> 0, transport + 4);
      const removed = (i < count - 1 ? PSH | FIN : 0) | (i > 0 ? CWR : 0);
      piece.writeUInt8(piece.readUInt8(transport + 13) & ~removed, transport + 13);
    } else piece.writeUInt16BE(length, transport + 4);
    const checksumAt = transport + (protocol === TCP ? 16 : 6);
    piece.writeUInt16BE(0, checksumAt);
    const addresses = piece.subarray(network + (isIpv6 ? 8 : 12), network + (isIpv6 ? 40 : 20));
    const sum = internetChecksum(addresses, words(protocol, length), piece.subarray(transport));
    piece.writeUInt16BE(protocol === UDP ? sum || 0xffff : sum, checksumAt);
    return piece;
  });
}

function finishIpv4(header: Buffer, length: number, index: number): void {
  header.writeUInt16BE(length, 2);
  header.writeUInt16BE((header.readUInt16BE(4) + index) & 0xffff, 4);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(internetChecksum(header), 10);
}

function ipv4Packet({ src, dst }: Link, packet: Packet): Buffer {
  const { protocol, payload, options = Buffer.alloc(0), ttl = 64, tos = 0 } = packet;
  const fixed = Buffer.from([0x45 + options.length / 4, tos, 0, 0, 0, 0, 0, 0, ttl, protocol, 0, 0]);
  const header = Buffer.concat([fixed, ipBytes(src), ipBytes(dst), options]);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(packet.identification ?? 0, 4);
  header.writeUInt16BE(packet.fragment ?? 0x4000, 6);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

function ipv6Packet({ src, dst }: Link, packet: Packet): Buffer {
  const { protocol, extensions = Buffer.alloc(0), payload, ttl = 64, tos = 0 } = packet;
  const length = extensions.length + payload.length;
  const fixed = Buffer.from([0x60 | (tos >> 4), (tos & 15) << 4, 0, 0, length >> 8, length & 0xff, protocol, ttl]);
  return Buffer.concat([fixed, ip6Bytes(src), ip6Bytes(dst), extensions, payload]);
}

function transportChecksum({ src, dst }: Link, protocol: number, bytes: Buffer): number {
  const addresses = src.includes(':') ? [ip6Bytes(src), ip6Bytes(dst)] : [ipBytes(src), ipBytes(dst)];
  return internetChecksum(...addresses, words(protocol, bytes.length), bytes);
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, 2 * i);
  return bytes;
}
