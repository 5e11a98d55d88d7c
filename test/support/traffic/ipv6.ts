/** IPv6 addresses as octets and text, and what the underlay carries over IPv6, naively. */
import { IP_PROTOCOL, readEthernet, readUdp, readVxlan, type Udp, VXLAN_PORT, type Vxlan } from './frames.ts';

export function ip6Bytes(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const [front, back] = [words(head), words(tail ?? '')];
  const gap = tail === undefined ? 0 : 8 - front.length - back.length;
  const bytes = Buffer.alloc(16);
  for (const [i, word] of [...front, ...Array<number>(gap).fill(0), ...back].entries())
    bytes.writeUInt16BE(word, 2 * i);
  return bytes;
}

/** All eight words, without `::`. */
export function ip6Text(bytes: Buffer): string {
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
}

/** As all eight words, however it was written. */
export function ip6Words(text: string): string {
  return ip6Text(ip6Bytes(text));
}

export interface VxlanPacket6 {
  readonly src: string;
  readonly dst: string;
  readonly hopLimit: number;
  readonly trafficClass: number;
  readonly udp: Udp;
  readonly udpChecksum: number;
  readonly vxlan: Required<Vxlan>;
}

/** The VXLAN packet in an underlay frame of IPv6 without extension headers. */
export function readVxlanPacket6(
  frame: Buffer,
  { port = VXLAN_PORT }: { port?: number } = {},
): VxlanPacket6 | undefined {
  const eth = readEthernet(frame);
  if (eth?.type !== 0x86dd || eth.payload.readUInt8(6) !== IP_PROTOCOL.udp) return undefined;
  const packet = eth.payload;
  const datagram = packet.subarray(40, 40 + packet.readUInt16BE(4));
  const udp = readUdp(datagram);
  const header = udp && readVxlan(udp.payload);
  if (udp?.destinationPort !== port || !header) return undefined;
  return {
    src: ip6Text(packet.subarray(8, 24)),
    dst: ip6Text(packet.subarray(24, 40)),
    hopLimit: packet.readUInt8(7),
    trafficClass: (packet.readUInt16BE(0) >> 4) & 0xff,
    udp,
    udpChecksum: datagram.readUInt16BE(6),
    vxlan: header,
  };
}

/** Whether an underlay frame is an IPv6 fragment. */
export function isFragment6(frame: Buffer): boolean {
  const eth = readEthernet(frame);
  return eth?.type === 0x86dd && eth.payload.readUInt8(6) === 44;
}

/** Joins and leaves in an underlay frame: the records of an MLDv2 report (RFC 3810 §5.2), as `join GROUP` and `leave GROUP`. */
export function readMld(frame: Buffer): string[] {
  const eth = readEthernet(frame);
  // A hop-by-hop header of 8 octets with the router alert stands in front of ICMPv6.
  if (eth?.type !== 0x86dd || eth.payload.readUInt8(6) !== 0 || eth.payload.readUInt8(40) !== 58) return [];
  const report = eth.payload.subarray(48);
  if (report.readUInt8(0) !== 143) return [];
  const events: string[] = [];
  let offset = 8;
  for (let left = report.readUInt16BE(6); left > 0; left--) {
    const record = report.readUInt8(offset);
    const sources = report.readUInt16BE(offset + 2);
    const group = ip6Text(report.subarray(offset + 4, offset + 20));
    if (record === 2 || record === 4) events.push(`join ${group}`);
    if ((record === 1 || record === 3) && sources === 0) events.push(`leave ${group}`);
    offset += 20 + 16 * sources + 4 * report.readUInt8(offset + 1);
  }
  return events;
}
