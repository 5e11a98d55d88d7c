/** Builds ARP and neighbour discovery octet by octet. It is simple, not fast: the reference for their tests, which shares no code with them. */
import { naiveSum } from '../naive-sum.ts';

export const REQUEST = 1;
export const REPLY = 2;
export const SOLICITATION = 135;
export const ADVERTISEMENT = 136;
export const [ROUTER, SOLICITED, OVERRIDE] = [0x80, 0x40, 0x20] as const;

export const octetsOfHex = (text: string) => [...Buffer.from(text.replaceAll(/[: ]/g, ''), 'hex')];
export const octetsOfIpv4 = (text: string) => text.split('.').map(Number);

/** The Internet checksum as written in a packet: two octets. */
export function naiveChecksum(octets: readonly number[]): [high: number, low: number] {
  const checksum = 0xffff - naiveSum(octets);
  return [checksum >> 8, checksum & 0xff];
}

export interface ArpParts {
  readonly dst?: string;
  readonly src?: string;
  readonly operation?: number;
  /** Default: `src`. */
  readonly senderMac?: string;
  readonly senderIp?: string;
  readonly targetMac?: string;
  readonly targetIp?: string;
  /** Hardware type, protocol type, lengths. */
  readonly kind?: string;
  /** Octets between the MACs and the EtherType. */
  readonly tags?: string;
}

export const HERE = '02 00 00 00 00 01';
export const THERE = '02 00 00 00 00 02';
export const BROADCAST = 'ff ff ff ff ff ff';
export const HERE_IP = '192.0.2.1';
export const THERE_IP = '192.0.2.2';

/** A request from HERE for THERE by default. */
export function naiveArp(parts: ArpParts = {}): number[] {
  const { dst = BROADCAST, src = HERE, operation = REQUEST, senderMac = src, senderIp = HERE_IP } = parts;
  const { targetMac = '00 00 00 00 00 00', targetIp = THERE_IP, kind = '0001 0800 06 04', tags = '' } = parts;
  return [
    ...octetsOfHex(`${dst} ${src} ${tags} 0806 ${kind}`),
    operation >> 8,
    operation & 0xff,
    ...octetsOfHex(senderMac),
    ...octetsOfIpv4(senderIp),
    ...octetsOfHex(targetMac),
    ...octetsOfIpv4(targetIp),
  ];
}

export const HERE_IP6 = '20010db8 00000000 00000000 00000001';
export const THERE_IP6 = '20010db8 00000000 00000000 00000002';
export const UNSPECIFIED = '00000000 00000000 00000000 00000000';
/** The solicited-node group of THERE_IP6 (RFC 4291 §2.7.1), and its MAC (RFC 2464 §7). */
export const SOLICITED_NODE = 'ff020000 00000000 00000001 ff000002';
export const SOLICITED_NODE_MAC = '33 33 ff 00 00 02';

export interface NdParts {
  readonly dst?: string;
  readonly src?: string;
  readonly type?: number;
  readonly code?: number;
  readonly sender?: string;
  readonly receiver?: string;
  readonly target?: string;
  readonly flags?: number;
  readonly hopLimit?: number;
  readonly nextHeader?: number;
  /** Default: a source option in a solicitation, a target option in an advertisement, with `src` in it. */
  readonly options?: string;
  /** Error that is added to the checksum. */
  readonly checksumError?: number;
  readonly padding?: number;
  readonly tags?: string;
}

/** A solicitation from HERE for THERE by default. */
export function naiveNd(parts: NdParts = {}): number[] {
  const { dst = SOLICITED_NODE_MAC, src = HERE, type = SOLICITATION, code = 0, sender = HERE_IP6 } = parts;
  const { receiver = SOLICITED_NODE, target = THERE_IP6, flags = 0, hopLimit = 255, nextHeader = 58 } = parts;
  const {
    options = `${type === SOLICITATION ? '01' : '02'} 01 ${src}`,
    checksumError = 0,
    padding = 0,
    tags = '',
  } = parts;
  const message = [type, code, 0, 0, flags, 0, 0, 0, ...octetsOfHex(target), ...octetsOfHex(options)];
  const length = [message.length >> 8, message.length & 0xff];
  const addresses = [...octetsOfHex(sender), ...octetsOfHex(receiver)];
  const checksum = naiveChecksum([...addresses, 0, 0, ...length, 0, 0, 0, 58, ...message]);
  message.splice(2, 2, (checksum[0] as number) ^ checksumError, checksum[1] as number);
  const network = [0x60, 0, 0, 0, ...length, nextHeader, hopLimit, ...addresses];
  return [...octetsOfHex(`${dst} ${src} ${tags} 86dd`), ...network, ...message, ...Array(padding).fill(0x77)];
}

/** An advertisement from THERE to all nodes by default. */
export function naiveAdvertisement(parts: NdParts = {}): number[] {
  const all = { dst: '33 33 00 00 00 01', receiver: 'ff020000 00000000 00000000 00000001' };
  return naiveNd({ ...all, src: THERE, type: ADVERTISEMENT, sender: THERE_IP6, flags: OVERRIDE, ...parts });
}
