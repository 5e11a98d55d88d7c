import { formatIp, formatMac } from '../../lib/addresses.ts';
import { ARP_FRAME_BYTES, ARP_OPERATION, arpOperation, arpSender, arpTarget } from '../answers/arp.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE, hasEthernetHeader, macHigh, macLow, SOURCE_MAC_AT } from '../ethernet.ts';
import {
  type FrameHeaders,
  IP_PROTOCOL,
  IPV6_HEADER_BYTES,
  locateHeaders,
  newFrameHeaders,
  TCP_FLAGS_AT,
  tcpHeaderBytes,
  UDP_HEADER_BYTES,
} from '../ip.ts';
import { isVlanTagged, VLAN_TAG_BYTES, vlanId } from '../vlan.ts';

/** Describes a frame in one short line, similar to tcpdump. Only numbers of the frame enter the text. */

/** From FIN on, in the order of their bits. `.` is ACK. */
const TCP_FLAG_LETTERS = 'FSRP.UEW';

const ICMP = 1;
const IGMP = 2;
const ICMPV6 = 58;

const PROTOCOL_NAMES: Readonly<Record<number, string | undefined>> = { 47: 'GRE', 50: 'ESP', 89: 'OSPF', 112: 'VRRP' };

const ICMP_NAMES: Readonly<Record<number, string | undefined>> = {
  0: 'echo reply',
  3: 'destination unreachable',
  5: 'redirect',
  8: 'echo request',
  11: 'time exceeded',
};

const ICMPV6_NAMES: Readonly<Record<number, string | undefined>> = {
  1: 'destination unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  128: 'echo request',
  129: 'echo reply',
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbor solicitation',
  136: 'neighbor advertisement',
  137: 'redirect',
  143: 'multicast listener report v2',
};

/** `02:00:00:00:00:01`, from the six octets at `at`. */
function macText(view: DataView, at: number): string {
  return formatMac(macHigh(view, at), macLow(view, at));
}

/** Both MACs of a frame, if it is long enough. */
export function frameMacs(view: DataView, at: number, length: number): { src: string; dst: string } | undefined {
  if (!hasEthernetHeader(length)) return undefined;
  return { src: macText(view, at + SOURCE_MAC_AT), dst: macText(view, at) };
}

/**
 * For example `ARP, Request who-has 192.0.2.2 tell 192.0.2.1`, `vlan 7, IP 192.0.2.1.40000 > 192.0.2.2.53: UDP, length 12`. Never throws, whatever
 * the octets are.
 */
export function summarizeFrame(view: DataView, at: number, length: number): string {
  if (!hasEthernetHeader(length)) return 'too short for Ethernet';
  let tags = '';
  let skip = 0;
  for (; isVlanTagged(view, at + skip, length - skip); skip += VLAN_TAG_BYTES) {
    tags += `vlan ${vlanId(view, at + skip)}, `;
  }
  const type = view.getUint16(at + skip + ETHERNET_HEADER_BYTES - 2);
  return tags + summarizePayload(view, at + skip, length - skip, type);
}

/** @param at start of the frame as if it had no tags: 14 octets before the payload */
function summarizePayload(view: DataView, at: number, length: number, type: number): string {
  if (type === ETHERTYPE.arp) return summarizeArp(view, at, length);
  if (type === ETHERTYPE.ipv4 || type === ETHERTYPE.ipv6) {
    const headers = newFrameHeaders();
    locateHeaders(view, at, length, headers);
    if (headers.ipVersion === 4) return summarizeIpv4(view, headers);
    if (headers.ipVersion === 6) return summarizeIpv6(view, headers);
    return `IP${type === ETHERTYPE.ipv6 ? '6' : ''}, cut short or malformed`;
  }
  // IEEE 802.3: a length instead of a type, followed by LLC.
  if (type < 0x600) return `802.3, length ${type}`;
  return `ethertype 0x${type.toString(16).padStart(4, '0')}`;
}

function summarizeArp(view: DataView, at: number, length: number): string {
  if (length < ARP_FRAME_BYTES) return 'ARP, cut short';
  const sender = ipv4Text(arpSender(view, at));
  const operation = arpOperation(view, at);
  if (operation === ARP_OPERATION.request)
    return `ARP, Request who-has ${ipv4Text(arpTarget(view, at))} tell ${sender}`;
  if (operation === ARP_OPERATION.reply) return `ARP, Reply ${sender} is-at ${macText(view, at + 22)}`;
  return `ARP, operation ${operation}`;
}

function summarizeIpv4(view: DataView, headers: FrameHeaders): string {
  const { networkAt, networkEnd, transport } = headers;
  const [source, destination] = [ipText(view, networkAt + 12, 4), ipText(view, networkAt + 16, 4)];
  if (transport !== 0) return `IP ${summarizeTransport(view, headers, source, destination)}`;
  const headerBytes = (view.getUint8(networkAt) & 0x0f) * 4;
  const protocol = view.getUint8(networkAt + 9);
  const payloadBytes = networkEnd - networkAt - headerBytes;
  const start = `IP ${source} > ${destination}: `;
  const offset = (view.getUint16(networkAt + 6) & 0x1fff) * 8;
  if (offset > 0) return `${start}fragment at ${offset}, protocol ${protocol}, length ${payloadBytes}`;
  const isFirst = (view.getUint16(networkAt + 6) & 0x2000) !== 0;
  const part = isFirst ? ', first fragment' : '';
  if (protocol === ICMP && payloadBytes >= 8) {
    const name = icmpText(view, networkAt + headerBytes, ICMP_NAMES, 0, 8);
    return `${start}ICMP ${name}, length ${payloadBytes}${part}`;
  }
  return `${start}${protocolText(protocol)}, length ${payloadBytes}${part}`;
}

function summarizeIpv6(view: DataView, headers: FrameHeaders): string {
  const { networkAt, networkEnd, transport } = headers;
  const [source, destination] = [ipText(view, networkAt + 8, 16), ipText(view, networkAt + 24, 16)];
  if (transport !== 0) return `IP6 ${summarizeTransport(view, headers, source, destination)}`;
  let at = networkAt + IPV6_HEADER_BYTES;
  let protocol = view.getUint8(networkAt + 6);
  // All MLD messages have hop-by-hop options in front.
  if (protocol === 0 && networkEnd - at >= 8) {
    protocol = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) * 8;
  }
  const payloadBytes = Math.max(0, networkEnd - at);
  const start = `IP6 ${source} > ${destination}: `;
  if (protocol === ICMPV6 && payloadBytes >= 8) {
    return `${start}ICMP6, ${icmpv6Text(view, at, payloadBytes)}, length ${payloadBytes}`;
  }
  return `${start}${protocolText(protocol)}, length ${payloadBytes}`;
}

function summarizeTransport(view: DataView, headers: FrameHeaders, source: string, destination: string): string {
  const { transport, transportAt, networkEnd } = headers;
  const ends = `${source}.${view.getUint16(transportAt)} > ${destination}.${view.getUint16(transportAt + 2)}`;
  if (transport === IP_PROTOCOL.udp) return `${ends}: UDP, length ${networkEnd - transportAt - UDP_HEADER_BYTES}`;
  const flags = view.getUint8(transportAt + TCP_FLAGS_AT);
  const letters = [...TCP_FLAG_LETTERS].filter((_, bit) => (flags & (1 << bit)) !== 0).join('');
  const length = networkEnd - transportAt - tcpHeaderBytes(view, transportAt);
  const numbers = `seq ${view.getUint32(transportAt + 4)}, ack ${view.getUint32(transportAt + 8)}`;
  return `${ends}: Flags [${letters || 'none'}], ${numbers}, win ${view.getUint16(transportAt + 14)}, length ${length}`;
}

/** @param echoes types of echo messages, which have an identifier and a sequence number */
function icmpText(view: DataView, at: number, names: typeof ICMP_NAMES, ...echoes: number[]): string {
  const type = view.getUint8(at);
  const name = names[type] ?? `type ${type} code ${view.getUint8(at + 1)}`;
  return echoes.includes(type) ? `${name}, id ${view.getUint16(at + 4)}, seq ${view.getUint16(at + 6)}` : name;
}

function icmpv6Text(view: DataView, at: number, length: number): string {
  const type = view.getUint8(at);
  const name = icmpText(view, at, ICMPV6_NAMES, 128, 129);
  if ((type !== 135 && type !== 136) || length < 24) return name;
  return `${name}, ${type === 135 ? 'who has' : 'tgt is'} ${ipText(view, at + 8, 16)}`;
}

function protocolText(protocol: number): string {
  if (protocol === IGMP) return 'IGMP';
  if (protocol === IP_PROTOCOL.tcp) return 'TCP';
  if (protocol === IP_PROTOCOL.udp) return 'UDP';
  return PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;
}

function ipv4Text(word: number): string {
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff).join('.');
}

function ipText(view: DataView, at: number, octets: number): string {
  return formatIp(new Uint8Array(view.buffer, view.byteOffset + at, octets));
}
