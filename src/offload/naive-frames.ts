/**
 * Builds and cuts frames octet by octet. It is simple, not fast: the reference for the tests of the offloads, which shares no code with them. All
 * offsets are from the first octet of a frame.
 */
import { naiveSum } from '../wire/naive-sum.ts';

export const TCP = 6;
export const UDP = 17;
export const FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 0x10, urg: 0x20, ece: 0x40, cwr: 0x80, ns: 0x100 } as const;
export const DF = 0x4000;

export interface Packet {
  readonly version: 4 | 6;
  readonly protocol: typeof TCP | typeof UDP;
  readonly payload: readonly number[];
  /** Last octet of the source MAC. */
  readonly station?: number;
  /** Octets of VLAN tags. */
  readonly tags?: readonly number[];
  /** Last octet of the source address. */
  readonly host?: number;
  readonly sourcePort?: number;
  readonly tos?: number;
  readonly ttl?: number;
  readonly id?: number;
  /** Flags and offset of an IPv4 fragment. */
  readonly fragment?: number;
  readonly ipOptions?: readonly number[];
  readonly flowLabel?: number;
  /** The IPv6 header is followed by a destination options header of this many times 8 octets. */
  readonly extensionUnits?: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly urgent?: number;
  readonly tcpOptions?: readonly number[];
  /** The transport checksum. `partial`: the sum of the pseudo-header only. `none`: zero. */
  readonly checksum?: 'right' | 'wrong' | 'partial' | 'none';
  /** Octets after the IP packet. */
  readonly padding?: number;
}

export interface Frame {
  readonly octets: number[];
  readonly networkAt: number;
  readonly transportAt: number;
  readonly checksumAt: number;
  readonly payloadAt: number;
}

export const word = (value: number) => [(value >> 8) & 0xff, value & 0xff];
export const long = (value: number) => [...word(value >>> 16), ...word(value)];

/** Pseudo-random octets, the same for the same seed. */
export function scrambled(length: number, seed = 1): number[] {
  let state = seed * 2_654_435_761 + 1;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

export function naiveFrame(packet: Packet): Frame {
  const {
    version,
    protocol,
    payload,
    station = 1,
    tags = [],
    ipOptions = [],
    extensionUnits = 0,
    padding = 0,
  } = packet;
  const ethernet = [2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, station, ...tags, ...word(version === 4 ? 0x0800 : 0x86dd)];
  const transport = protocol === TCP ? tcpHeader(packet) : udpHeader(packet);
  const extension = Array.from({ length: extensionUnits * 8 }, () => 0);
  if (extensionUnits > 0) extension.splice(0, 3, protocol, extensionUnits - 1, 1, extensionUnits * 8 - 4);
  const behind = version === 4 ? ipOptions.length : extension.length;
  const network =
    version === 4
      ? [...ipv4Header(packet, transport.length + payload.length), ...ipOptions]
      : [...ipv6Header(packet, behind + transport.length + payload.length), ...extension];
  if (version === 4) put16(network, 10, 0xffff - naiveSum(network));
  const networkAt = ethernet.length;
  const transportAt = networkAt + network.length;
  const checksumAt = transportAt + (protocol === TCP ? 16 : 6);
  const octets = [...ethernet, ...network, ...transport, ...payload];
  put16(octets, checksumAt, checksumOf(packet, octets, networkAt, transportAt));
  for (let i = 0; i < padding; i++) octets.push(0x77);
  return { octets, networkAt, transportAt, checksumAt, payloadAt: transportAt + transport.length };
}

function ipv4Header(packet: Packet, behind: number): number[] {
  const { protocol, host = 1, tos = 0, ttl = 64, id = 0, fragment = DF, ipOptions = [] } = packet;
  const bytes = 20 + ipOptions.length;
  const addresses = [192, 0, 2, host, 198, 51, 100, 7];
  return [
    0x40 + bytes / 4,
    tos,
    ...word(bytes + behind),
    ...word(id),
    ...word(fragment),
    ttl,
    protocol,
    0,
    0,
    ...addresses,
  ];
}

function ipv6Header(packet: Packet, bytes: number): number[] {
  const { protocol, host = 1, tos = 0, ttl = 64, flowLabel = 0, extensionUnits = 0 } = packet;
  const first = 6 * 2 ** 28 + tos * 2 ** 20 + flowLabel;
  const source = [0xfd, ...Array<number>(14).fill(0x11), host];
  const destination = [0xfd, ...Array<number>(14).fill(0x22), 7];
  return [...long(first), ...word(bytes), extensionUnits > 0 ? 60 : protocol, ttl, ...source, ...destination];
}

function tcpHeader(packet: Packet): number[] {
  const { sourcePort = 40_000, sequence = 0, acknowledgement = 0x0102_0304, flags = FLAG.ack } = packet;
  const { window = 500, urgent = 0, tcpOptions = [] } = packet;
  const offsetAndFlags = ((20 + tcpOptions.length) / 4) * 0x1000 + flags;
  const numbers = [...long(sequence), ...long(acknowledgement)];
  return [
    ...word(sourcePort),
    1,
    187,
    ...numbers,
    ...word(offsetAndFlags),
    ...word(window),
    0,
    0,
    ...word(urgent),
    ...tcpOptions,
  ];
}

function udpHeader({ sourcePort = 40_000, payload }: Packet): number[] {
  return [...word(sourcePort), 1, 187, ...word(8 + payload.length), 0, 0];
}

function checksumOf(packet: Packet, octets: readonly number[], networkAt: number, transportAt: number): number {
  const pseudo = pseudoHeader(octets, networkAt, packet.protocol, octets.length - transportAt);
  if (packet.checksum === 'none') return 0;
  if (packet.checksum === 'partial') return naiveSum(pseudo);
  const right = finished(naiveSum([...pseudo, ...octets.slice(transportAt)]), packet.protocol);
  return packet.checksum === 'wrong' ? right ^ 0x0100 : right;
}

function pseudoHeader(octets: readonly number[], networkAt: number, protocol: number, bytes: number): number[] {
  const isIpv4 = (octets[networkAt] as number) >> 4 === 4;
  const addresses = isIpv4 ? octets.slice(networkAt + 12, networkAt + 20) : octets.slice(networkAt + 8, networkAt + 40);
  return [...addresses, ...long(bytes), 0, 0, 0, protocol];
}

/** For UDP, zero would mean "none". */
function finished(sum: number, protocol: number): number {
  return protocol === UDP && sum === 0xffff ? 0xffff : 0xffff - sum;
}

export interface SuperHeader {
  /** Start of the transport header. */
  readonly start: number;
  readonly protocol: typeof TCP | typeof UDP;
  readonly segmentBytes: number;
}

/** The frames into which a kernel cuts a super-frame. */
export function naiveSegments(octets: readonly number[], { start, protocol, segmentBytes }: SuperHeader): number[][] {
  const networkAt = networkStart(octets);
  const isIpv4 = (octets[networkAt] as number) >> 4 === 4;
  const end = networkAt + (isIpv4 ? get16(octets, networkAt + 2) : 40 + get16(octets, networkAt + 4));
  const payloadAt = start + (protocol === TCP ? ((octets[start + 12] as number) >> 4) * 4 : 8);
  const segments: number[][] = [];
  for (let at = payloadAt; at < end; at += segmentBytes) {
    const segment = [...octets.slice(0, payloadAt), ...octets.slice(at, Math.min(at + segmentBytes, end))];
    if (isIpv4) {
      put16(segment, networkAt + 2, segment.length - networkAt);
      put16(segment, networkAt + 4, get16(octets, networkAt + 4) + segments.length);
      put16(segment, networkAt + 10, 0);
      put16(segment, networkAt + 10, 0xffff - naiveSum(segment.slice(networkAt, start)));
    } else {
      put16(segment, networkAt + 4, segment.length - networkAt - 40);
    }
    if (protocol === TCP) {
      const sequence = get16(octets, start + 4) * 65_536 + get16(octets, start + 6) + at - payloadAt;
      segment.splice(start + 4, 4, ...long(sequence % 2 ** 32));
      let flags = octets[start + 13] as number;
      if (at + segmentBytes < end) flags &= ~(FLAG.fin | FLAG.psh);
      if (at > payloadAt) flags &= ~FLAG.cwr;
      segment[start + 13] = flags;
    } else {
      put16(segment, start + 4, segment.length - start);
    }
    completeNaively(segment, networkAt, start, protocol);
    segments.push(segment);
  }
  return segments;
}

/** Computes the transport checksum of a frame without padding. */
export function completeNaively(octets: number[], networkAt: number, start: number, protocol: number): void {
  const checksumAt = start + (protocol === TCP ? 16 : 6);
  put16(octets, checksumAt, 0);
  const pseudo = pseudoHeader(octets, networkAt, protocol, octets.length - start);
  put16(octets, checksumAt, finished(naiveSum([...pseudo, ...octets.slice(start)]), protocol));
}

/** struct virtio_net_hdr: flags, type, then little-endian header length, segment size, checksum start and offset. */
export function vnetHeader(type: number, { start, protocol, segmentBytes }: SuperHeader, headerBytes = 0): number[] {
  const words = [headerBytes, segmentBytes, start, protocol === TCP ? 16 : 6];
  return [1, type, ...words.flatMap((value) => [value % 256, Math.floor(value / 256)])];
}

/** Offset after the Ethernet header and its tags. */
export function networkStart(octets: readonly number[]): number {
  let at = 12;
  while (get16(octets, at) === 0x8100 || get16(octets, at) === 0x88a8) at += 4;
  return at + 2;
}

export function get16(octets: readonly number[], at: number): number {
  return (octets[at] as number) * 256 + (octets[at + 1] as number);
}

export function put16(octets: number[], at: number, value: number): void {
  octets.splice(at, 2, ...word(value));
}
