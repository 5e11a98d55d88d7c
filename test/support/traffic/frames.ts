/**
 * Naive builders and readers of the wire formats the tests look at: clear rather than fast, and deliberately not src/wire,
 * because they are the oracle for it. Readers return undefined for what is not their format.
 */

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
export const VXLAN_PORT = 4789;

export const ETHERTYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  /** IEEE local experimental: what probes travel in, so that no protocol stack answers them. */
  probe: 0x88b5,
} as const;

export const IP_PROTOCOL = { icmp: 1, igmp: 2, udp: 17 } as const;

export function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

export function macText(bytes: Buffer): string {
  return bytes
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1:')
    .toLowerCase();
}

export function ipBytes(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

export function ipText(bytes: Buffer): string {
  return [...bytes].join('.');
}

/** RFC 1071. */
export function internetChecksum(...parts: Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function u16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

export interface Ethernet {
  readonly dst: string;
  readonly src: string;
  /** 802.1Q tag control information (priority and VID), where the frame carries a tag. */
  readonly vlan?: number | undefined;
  readonly type: number;
  readonly payload: Buffer;
}

export function ethernet({ dst, src, vlan, type, payload }: Ethernet): Buffer {
  const tag = vlan === undefined ? Buffer.alloc(0) : Buffer.concat([u16(ETHERTYPE.vlan), u16(vlan)]);
  return Buffer.concat([macBytes(dst), macBytes(src), tag, u16(type), payload]);
}

export function readEthernet(frame: Buffer): Ethernet | undefined {
  if (frame.length < 14) return undefined;
  const [dst, src] = [macText(frame.subarray(0, 6)), macText(frame.subarray(6, 12))];
  const first = frame.readUInt16BE(12);
  if (first !== ETHERTYPE.vlan) return { dst, src, type: first, payload: frame.subarray(14) };
  if (frame.length < 18) return undefined;
  return { dst, src, vlan: frame.readUInt16BE(14), type: frame.readUInt16BE(16), payload: frame.subarray(18) };
}

export interface Probe {
  readonly dst: string;
  readonly src: string;
  readonly vlan?: number | undefined;
  /** What tells this probe from every other one. */
  readonly text: string;
}

/** A frame no stack reacts to, recognised by its text; 60 bytes or more, as on an Ethernet. */
export function probe({ dst, src, vlan, text }: Probe, { length = 60 }: { length?: number } = {}): Buffer {
  const payload = Buffer.alloc(Math.max(length - 14, text.length + 1));
  payload.write(text, 'latin1');
  return ethernet({ dst, src, vlan, type: ETHERTYPE.probe, payload });
}

export function readProbe(frame: Buffer): Probe | undefined {
  const eth = readEthernet(frame);
  if (eth?.type !== ETHERTYPE.probe) return undefined;
  const end = eth.payload.indexOf(0);
  const text = eth.payload.toString('latin1', 0, end < 0 ? undefined : end);
  return { dst: eth.dst, src: eth.src, vlan: eth.vlan, text };
}

export interface Ipv4 {
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly payload: Buffer;
  readonly ttl?: number;
  readonly tos?: number;
  readonly dontFragment?: boolean;
  readonly identification?: number;
}

export function ipv4(packet: Ipv4): Buffer {
  const { src, dst, protocol, payload, ttl = 64, tos = 0, dontFragment = false, identification = 0 } = packet;
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt8(tos, 1);
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(identification, 4);
  header.writeUInt16BE(dontFragment ? 0x4000 : 0, 6);
  header.writeUInt8(ttl, 8);
  header.writeUInt8(protocol, 9);
  ipBytes(src).copy(header, 12);
  ipBytes(dst).copy(header, 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

export interface ReadIpv4 extends Required<Ipv4> {
  readonly moreFragments: boolean;
  /** In bytes. */
  readonly fragmentOffset: number;
}

export function readIpv4(bytes: Buffer): ReadIpv4 | undefined {
  if (bytes.length < 20 || bytes.readUInt8(0) >>> 4 !== 4) return undefined;
  const headerLength = (bytes.readUInt8(0) & 0x0f) * 4;
  const fragment = bytes.readUInt16BE(6);
  return {
    src: ipText(bytes.subarray(12, 16)),
    dst: ipText(bytes.subarray(16, 20)),
    protocol: bytes.readUInt8(9),
    ttl: bytes.readUInt8(8),
    tos: bytes.readUInt8(1),
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    identification: bytes.readUInt16BE(4),
    payload: bytes.subarray(headerLength, bytes.readUInt16BE(2)),
  };
}

export interface Udp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** A UDP datagram in IPv4 with a correct checksum. */
export function udpInIpv4(packet: Omit<Ipv4, 'protocol' | 'payload'> & Udp): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(packet.sourcePort, 0);
  header.writeUInt16BE(packet.destinationPort, 2);
  header.writeUInt16BE(8 + packet.payload.length, 4);
  const pseudo = Buffer.concat([
    ipBytes(packet.src),
    ipBytes(packet.dst),
    u16(IP_PROTOCOL.udp),
    u16(8 + packet.payload.length),
  ]);
  header.writeUInt16BE(internetChecksum(pseudo, header, packet.payload) || 0xffff, 6);
  return ipv4({ ...packet, protocol: IP_PROTOCOL.udp, payload: Buffer.concat([header, packet.payload]) });
}

export function readUdp(bytes: Buffer): Udp | undefined {
  if (bytes.length < 8) return undefined;
  return { sourcePort: bytes.readUInt16BE(0), destinationPort: bytes.readUInt16BE(2), payload: bytes.subarray(8) };
}

export function icmpEchoRequest({ identifier, sequence }: { identifier: number; sequence: number }): Buffer {
  const message = Buffer.alloc(64);
  message.writeUInt8(8, 0);
  message.writeUInt16BE(identifier, 4);
  message.writeUInt16BE(sequence, 6);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

export interface Arp {
  readonly operation: 1 | 2;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac: string;
  readonly targetIp: string;
}

export function arp({ operation, senderMac, senderIp, targetMac, targetIp }: Arp): Buffer {
  return Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]),
    macBytes(senderMac),
    ipBytes(senderIp),
    macBytes(targetMac),
    ipBytes(targetIp),
  ]);
}

export function readArp(frame: Buffer): Arp | undefined {
  const eth = readEthernet(frame);
  if (eth?.type !== ETHERTYPE.arp || eth.payload.length < 28) return undefined;
  const operation = eth.payload.readUInt16BE(6);
  if (operation !== 1 && operation !== 2) return undefined;
  return {
    operation,
    senderMac: macText(eth.payload.subarray(8, 14)),
    senderIp: ipText(eth.payload.subarray(14, 18)),
    targetMac: macText(eth.payload.subarray(18, 24)),
    targetIp: ipText(eth.payload.subarray(24, 28)),
  };
}

/**
 * RFC 7348 §5:
 *
 *     |R|R|R|R|I|R|R|R|            Reserved (24)              |
 *     |                VNI (24)                | Reserved (8) |
 */
export interface Vxlan {
  readonly vni: number;
  /** First octet; 0x08 is the I flag alone. */
  readonly flags?: number;
  readonly reserved24?: number;
  readonly reserved8?: number;
  readonly inner: Buffer;
}

export function vxlan({ vni, flags = 0x08, reserved24 = 0, reserved8 = 0, inner }: Vxlan): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(flags, 0);
  header.writeUIntBE(reserved24, 1, 3);
  header.writeUIntBE(vni, 4, 3);
  header.writeUInt8(reserved8, 7);
  return Buffer.concat([header, inner]);
}

export function readVxlan(bytes: Buffer): Required<Vxlan> | undefined {
  if (bytes.length < 8) return undefined;
  return {
    flags: bytes.readUInt8(0),
    reserved24: bytes.readUIntBE(1, 3),
    vni: bytes.readUIntBE(4, 3),
    reserved8: bytes.readUInt8(7),
    inner: bytes.subarray(8),
  };
}

export interface VxlanPacket {
  readonly ip: ReadIpv4;
  readonly udp: Udp;
  readonly vxlan: Required<Vxlan>;
}

/** The VXLAN packet in an underlay frame: unfragmented IPv4 UDP to the VXLAN port. */
export function readVxlanPacket(frame: Buffer, { port = VXLAN_PORT }: { port?: number } = {}): VxlanPacket | undefined {
  const packet = readIpv4Frame(frame);
  if (packet?.protocol !== IP_PROTOCOL.udp || packet.fragmentOffset > 0) return undefined;
  const datagram = readUdp(packet.payload);
  if (datagram?.destinationPort !== port) return undefined;
  const header = readVxlan(datagram.payload);
  return header && { ip: packet, udp: datagram, vxlan: header };
}

export function readIpv4Frame(frame: Buffer): ReadIpv4 | undefined {
  const eth = readEthernet(frame);
  return eth?.type === ETHERTYPE.ipv4 ? readIpv4(eth.payload) : undefined;
}

export interface IgmpEvent {
  readonly src: string;
  readonly event: 'join' | 'leave';
  readonly group: string;
}

/** Joins and leaves in an underlay frame: IGMPv2 (RFC 2236) messages, or the records of an IGMPv3 (RFC 3376) report. */
export function readIgmp(frame: Buffer): IgmpEvent[] {
  const packet = readIpv4Frame(frame);
  if (packet?.protocol !== IP_PROTOCOL.igmp || packet.payload.length < 8) return [];
  const { src, payload } = packet;
  const type = payload.readUInt8(0);
  if (type === 0x16) return [{ src, event: 'join', group: ipText(payload.subarray(4, 8)) }];
  if (type === 0x17) return [{ src, event: 'leave', group: ipText(payload.subarray(4, 8)) }];
  if (type !== 0x22) return [];
  const events: IgmpEvent[] = [];
  let offset = 8;
  for (let left = payload.readUInt16BE(6); left > 0 && offset + 8 <= payload.length; left--) {
    const record = payload.readUInt8(offset);
    const sources = payload.readUInt16BE(offset + 2);
    const group = ipText(payload.subarray(offset + 4, offset + 8));
    // Exclude nothing (mode 2, change 4) is membership; include nothing (mode 1, change 3) is its end.
    if (record === 2 || record === 4) events.push({ src, event: 'join', group });
    if ((record === 1 || record === 3) && sources === 0) events.push({ src, event: 'leave', group });
    offset += 8 + 4 * sources + 4 * payload.readUInt8(offset + 1);
  }
  return events;
}
