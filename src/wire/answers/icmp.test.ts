import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { locateHeaders, newFrameHeaders } from '../ip.ts';
import { MAX_TOO_BIG_BYTES, writeTooBig } from './icmp.ts';
import { naiveChecksum, octetsOfHex, octetsOfIpv4 } from './naive-neighbours.ts';

const [HERE, THERE] = ['020000000001', '020000000002'];
const AT = 6;
const MTU = 1_400;

interface Packet {
  readonly dst?: string;
  readonly tags?: string;
  readonly payload?: readonly number[];
}

interface Ipv4Packet extends Packet {
  readonly from?: string;
  readonly to?: string;
  readonly fragment?: number;
  readonly protocol?: number;
  readonly options?: readonly number[];
}

interface Ipv6Packet extends Packet {
  readonly from?: string;
  readonly to?: string;
  readonly next?: number;
}

const word = (value: number) => [(value >> 8) & 0xff, value & 0xff];
const bytes = (length: number) => Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff);
const ethernet = (dst: string, tags: string, type: string) => octetsOfHex(`${dst} ${HERE} ${tags} ${type}`);

function ipv4({ dst = THERE, tags = '', from = '192.0.2.1', to = '192.0.2.2', ...rest }: Ipv4Packet = {}): number[] {
  const { fragment = 0x4000, protocol = 6, payload = bytes(1_460), options = [] } = rest;
  const header = [
    0x45 + options.length / 4,
    3,
    ...word(20 + options.length + payload.length),
    1,
    2,
    ...word(fragment),
    61,
    protocol,
    0,
    0,
  ];
  const whole = [...header, ...octetsOfIpv4(from), ...octetsOfIpv4(to), ...options];
  whole.splice(10, 2, ...naiveChecksum(whole));
  return [...ethernet(dst, tags, '0800'), ...whole, ...payload];
}

const V6_HERE = '20010db8 00000000 00000000 00000001';
const V6_THERE = '20010db8 00000000 00000000 00000002';

function ipv6({ dst = THERE, tags = '', from = V6_HERE, to = V6_THERE, next = 6, ...rest }: Ipv6Packet = {}): number[] {
  const { payload = bytes(1_440) } = rest;
  const header = [0x61, 0x23, 0x45, 0x67, ...word(payload.length), next, 62, ...octetsOfHex(from), ...octetsOfHex(to)];
  return [...ethernet(dst, tags, '86dd'), ...header, ...payload];
}

/** What the kernel's iptunnel_pmtud_build_icmp would make. */
function naiveFragmentationNeeded(
  frame: readonly number[],
  networkAt: number,
  mtu: number,
  end = frame.length,
): number[] {
  const packet = frame.slice(networkAt, end);
  const message = [3, 4, 0, 0, 0, 0, ...word(mtu), ...packet.slice(0, 548)];
  message.splice(2, 2, ...naiveChecksum(message));
  const header = [0x45, 0, ...word(20 + message.length), 0, 0, 0x40, 0, packet[8] as number, 1, 0, 0];
  const whole = [...header, ...packet.slice(16, 20), ...packet.slice(12, 16)];
  whole.splice(10, 2, ...naiveChecksum(whole));
  return [...frame.slice(6, 12), ...frame.slice(0, 6), ...frame.slice(12, networkAt), ...whole, ...message];
}

/** What its iptunnel_pmtud_build_icmpv6 would make. */
function naivePacketTooBig(frame: readonly number[], networkAt: number, mtu: number, end = frame.length): number[] {
  const packet = frame.slice(networkAt, end);
  const message = [2, 0, 0, 0, 0, 0, ...word(mtu), ...packet.slice(0, 1_232)];
  const addresses = [...packet.slice(24, 40), ...packet.slice(8, 24)];
  const pseudo = [...addresses, 0, 0, ...word(message.length), 0, 0, 0, 58];
  message.splice(2, 2, ...naiveChecksum([...pseudo, ...message]));
  const header = [0x60, 0, 0, 0, ...word(message.length), 58, packet[7] as number, ...addresses];
  return [...frame.slice(6, 12), ...frame.slice(0, 6), ...frame.slice(12, networkAt), ...header, ...message];
}

/** The answer to a frame that stands behind AT octets; nothing around it may be written. */
function answerTo(frame: readonly number[], mtu = MTU): number[] {
  const to = AT + frame.length + 3;
  const buffer = new Uint8Array(to + MAX_TOO_BIG_BYTES + 3).fill(0xa5);
  buffer.set(frame, AT);
  const view = new DataView(buffer.buffer);
  const headers = newFrameHeaders();
  locateHeaders(view, AT, frame.length, headers);
  const before = Buffer.from(buffer.subarray(0, to)).toString('hex');
  const length = writeTooBig(view, to, AT, headers, mtu);
  expect(length).toBeLessThanOrEqual(MAX_TOO_BIG_BYTES);
  expect(Buffer.from(buffer.subarray(0, to)).toString('hex')).toBe(before);
  expect(buffer.subarray(to + length).every((octet) => octet === 0xa5)).toBe(true);
  return [...buffer.subarray(to, to + length)];
}

describe('the answer to a packet that is too large', () => {
  it.each<[string, Ipv4Packet, number]>([
    ['TCP', {}, 14],
    ['an echo request', { protocol: 1, payload: [8, 0, ...bytes(1_470)] }, 14],
    ['the first fragment', { fragment: 0x6000 }, 14],
    ['one with options', { options: [1, 1, 1, 0] }, 14],
    ['one behind a tag', { tags: '8100 0005' }, 18],
    ['one behind two tags', { tags: '88a8 0005 8100 0006' }, 22],
  ])('is fragmentation needed over IPv4: %s', (_, packet, networkAt) => {
    const frame = ipv4(packet);
    expect(answerTo(frame)).toEqual(naiveFragmentationNeeded(frame, networkAt, MTU));
  });

  it.each<[string, Ipv6Packet, number]>([
    ['TCP', {}, 14],
    ['an echo request', { next: 58, payload: [128, 0, ...bytes(1_470)] }, 14],
    ['the first fragment', { next: 44, payload: [6, 0, 0, 1, 0, 0, 0, 1, ...bytes(1_440)] }, 14],
    [
      'one with options for all and for its destination',
      { next: 0, payload: [60, 0, ...bytes(6), 6, 1, ...bytes(1_440)] },
      14,
    ],
    ['one behind a tag', { tags: '8100 0005' }, 18],
  ])('is packet too big over IPv6: %s', (_, packet, networkAt) => {
    const frame = ipv6(packet);
    expect(answerTo(frame)).toEqual(naivePacketTooBig(frame, networkAt, MTU));
  });

  it('quotes the packet without what Ethernet put behind it', () => {
    const frame = ipv4({ payload: bytes(100) });
    expect(answerTo([...frame, 1, 2, 3], 80)).toEqual(naiveFragmentationNeeded(frame, 14, 80));
    const other = ipv6({ payload: bytes(101) });
    expect(answerTo([...other, 1, 2, 3], 1_280)).toEqual(naivePacketTooBig(other, 14, 1_280));
  });

  it('is as a naive one whatever the packet holds', () => {
    const payload = fc.uint8Array({ maxLength: 1_500, size: 'max' }).map((octets) => [...octets]);
    fc.assert(
      fc.property(payload, fc.integer({ min: 1_280, max: 1_450 }), fc.boolean(), (octets, mtu, isIpv4) => {
        const frame = isIpv4 ? ipv4({ payload: octets }) : ipv6({ payload: octets });
        const naive = isIpv4 ? naiveFragmentationNeeded : naivePacketTooBig;
        expect(answerTo(frame, mtu)).toEqual(naive(frame, 14, mtu));
      }),
    );
  });
});

describe('no answer is given', () => {
  it.each<[string, Ipv4Packet]>([
    ['to what may be fragmented', { fragment: 0 }],
    ['to a later fragment', { fragment: 0x4001 }],
    ['to a group of stations', { dst: '01005e000001' }],
    ['to a broadcast', { dst: 'ffffffffffff' }],
    ['to a group of hosts', { to: '224.0.0.1' }],
    ['to all hosts', { to: '255.255.255.255' }],
    ['where nobody asked', { from: '0.0.0.0' }],
    ['to a loopback address', { from: '127.0.0.1' }],
    ['to a packet from a group', { from: '239.1.1.1' }],
    ['to a packet from all', { from: '255.255.255.255' }],
    ...[3, 4, 5, 11, 12].map<[string, Ipv4Packet]>((type) => [
      `to the ICMP error ${type}`,
      { protocol: 1, payload: [type, ...bytes(1_470)] },
    ]),
    ['to ICMP without a type', { protocol: 1, payload: [] }],
  ])('%s, over IPv4', (_, packet) => {
    expect(answerTo(ipv4(packet))).toEqual([]);
  });

  it.each<[string, Ipv6Packet]>([
    ['to a group of stations', { dst: '333300000001' }],
    ['to a group of hosts', { to: 'ff020000 00000000 00000000 00000001' }],
    ['where nobody asked', { from: '00000000 00000000 00000000 00000000' }],
    ['to a loopback address', { from: '00000000 00000000 00000000 00000001' }],
    ['to a packet from a group', { from: 'ff020000 00000000 00000000 00000001' }],
    ...[1, 2, 3, 4, 127, 137].map<[string, Ipv6Packet]>((type) => [
      `to the ICMPv6 message ${type}`,
      { next: 58, payload: [type, ...bytes(1_470)] },
    ]),
    ['to ICMPv6 without a type', { next: 58, payload: [] }],
    ['to an error behind options', { next: 60, payload: [58, 0, ...bytes(6), 1, ...bytes(1_440)] }],
    ['to a later fragment', { next: 44, payload: [6, 0, 0, 9, 0, 0, 0, 1, ...bytes(1_440)] }],
    ['to a header that is cut short', { next: 0, payload: [6, 0, 0] }],
    ['to a chain of headers without end', { next: 0, payload: Array(2_000).fill(0) }],
  ])('%s, over IPv6', (_, packet) => {
    expect(answerTo(ipv6(packet))).toEqual([]);
  });

  it('where the MTU is one that nobody must be told', () => {
    expect(answerTo(ipv4(), 67)).toEqual([]);
    expect(answerTo(ipv4(), 68)).not.toEqual([]);
    expect(answerTo(ipv6(), 1_279)).toEqual([]);
    expect(answerTo(ipv6(), 1_280)).not.toEqual([]);
  });

  it('to what is not IP', () => {
    expect(answerTo([...ethernet(THERE, '', '88b5'), ...bytes(1_500)])).toEqual([]);
  });

  it('beyond the octets of a frame, whatever they are', () => {
    const rest = fc.uint8Array({ maxLength: 120, size: 'max' });
    const starts = fc.constantFrom<[string, number]>(['0800', 0x45], ['86dd', 0x60], ['0800', 0x4f]);
    fc.assert(
      fc.property(starts, rest, ([type, first], octets) => {
        const frame = [...ethernet(THERE, '', type), first, ...octets];
        expect(() => answerTo(frame)).not.toThrow();
      }),
    );
  });
});
