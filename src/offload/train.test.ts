import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENCAP } from '../encap/encapsulation.ts';
import { newFrameHeaders } from '../wire/ip.ts';
import { naiveFrame, type Packet, put16, scrambled, TCP, UDP } from './naive-frames.ts';
import { isSuperDatagram } from './train.ts';

const AT = 24;
const VXLAN = [8, 0, 0, 0, 0, 0x12, 0x34, 0];

/** What octets of a segment size are taken for; they end their buffer. */
function classify(octets: readonly number[], segmentBytes: number): 'superFrame' | 'datagrams' {
  const bytes = new Uint8Array(AT + octets.length).fill(0xa5);
  bytes.set(octets, AT);
  const before = bytes.slice();
  const view = new DataView(bytes.buffer);
  const isSuper = isSuperDatagram(ENCAP.vxlan, view, AT, octets.length, segmentBytes, newFrameHeaders());
  expect(bytes).toEqual(before);
  return isSuper ? 'superFrame' : 'datagrams';
}

const datagram = (packet: Packet, header = VXLAN) => [...header, ...naiveFrame(packet).octets];

const tcp4 = (length: number): Packet => ({ version: 4, protocol: TCP, payload: scrambled(length) });
const udp6 = (length: number): Packet => ({ version: 6, protocol: UDP, payload: scrambled(length) });
const ARP = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, ...scrambled(46)];

describe('datagrams', () => {
  it.each<[string, number[][]]>([
    ['of equal length', [datagram(tcp4(400)), datagram(tcp4(400)), datagram(tcp4(400))]],
    ['of which the last is shorter', [datagram(tcp4(400)), datagram(tcp4(400)), datagram(tcp4(10))]],
    ['of different protocols', [datagram(udp6(100)), datagram({ ...tcp4(100), padding: 8 })]],
    ['that begin with one that is not IP', [[...VXLAN, ...ARP], datagram({ ...udp6(0), padding: 0 }).slice(0, 68)]],
    ['of which the first has padding', [datagram({ ...tcp4(1), padding: 5 }), datagram({ ...tcp4(1), padding: 5 })]],
    ['of unknown headers', [datagram(tcp4(50), [0xff, 1, 2, 3, 0, 0, 0, 9]), datagram(tcp4(50), Array(8).fill(0))]],
    ['of which the last has less than a VXLAN header', [datagram(tcp4(50)), datagram(tcp4(50)), [8, 0, 0]]],
    ['of which the last is one octet', [datagram(tcp4(50)), [8]]],
    ['behind one with tags', [datagram({ ...tcp4(50), tags: [0x81, 0, 0, 5] }), datagram(tcp4(54))]],
    ['behind one with options', [datagram({ ...tcp4(50), ipOptions: [1, 1, 1, 0] }), datagram(tcp4(54))]],
    ['behind a fragment', [datagram({ ...tcp4(50), fragment: 0x2000 }), datagram(tcp4(50))]],
  ])('%s are taken apart', (_what, datagrams) => {
    expect(classify(datagrams.flat(), datagrams[0]?.length ?? 0)).toBe('datagrams');
  });

  it('shorter than a VXLAN header and an Ethernet header are taken apart', () => {
    for (let segmentBytes = 1; segmentBytes <= 8 + 14; segmentBytes++) {
      const first = datagram(tcp4(0)).slice(0, segmentBytes);
      expect(classify([...first, ...first], segmentBytes), `${segmentBytes} octets`).toBe('datagrams');
    }
  });
});

describe('a kernel peer’s super-datagram', () => {
  it.each<[string, Packet, number]>([
    ['of UDP', { version: 4, protocol: UDP, payload: scrambled(5_000), checksum: 'partial' }, 1_000],
    ['of UDP, an octet each', { version: 4, protocol: UDP, payload: scrambled(60), checksum: 'partial' }, 1],
    ['of UDP, fewer octets each than its headers', { ...udp6(300), checksum: 'partial' }, 17],
    ['of UDP over IPv6', { ...udp6(5_000), checksum: 'partial' }, 1_400],
    ['behind tags', { ...udp6(5_000), tags: [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], checksum: 'partial' }, 1_000],
    ['whose second segment ends it at once', { ...udp6(1_007), checksum: 'partial' }, 1_000 + 70],
  ])('%s is one frame', (_what, packet, segmentBytes) => {
    expect(classify(datagram(packet), segmentBytes)).toBe('superFrame');
  });
});

describe('a first packet that claims more than its datagram', () => {
  /** A datagram that says it is as long as both, and what stands where the second would begin. */
  function liar(second: readonly number[], { firstHeader = VXLAN } = {}): [octets: number[], segmentBytes: number] {
    const first = datagram({ ...tcp4(100), protocol: UDP }, firstHeader);
    put16(first, 8 + 16, first.length - 22 + second.length);
    return [[...first, ...second], first.length];
  }

  it.each<[string, number[]]>([
    ['a plain header', VXLAN],
    ['another VNI’s header', [8, 0, 0, 0, 9, 9, 9, 0]],
  ])('is not believed where %s follows', (_what, header) => {
    expect(classify(...liar([...header, ...scrambled(60)]))).toBe('datagrams');
  });

  it('is not believed where a header of the same reserved bits follows', () => {
    const firstHeader = [0x48, 1, 2, 3, 0, 0, 1, 7];
    expect(classify(...liar([0x48, 1, 2, 3, 9, 9, 9, 7, ...scrambled(60)], { firstHeader }))).toBe('datagrams');
  });

  it('is not believed where the header of another policy follows, as VXLAN-GBP has it', () => {
    const firstHeader = [0x88, 0, 0, 5, 0, 0, 1, 0];
    expect(classify(...liar([0x88, 8, 1, 7, 9, 9, 9, 0, ...scrambled(60)], { firstHeader }))).toBe('datagrams');
  });

  it.each<[string, (octets: number[]) => void]>([
    ['ends before the message', (octets) => put16(octets, 8 + 16, octets.length - 23)],
    ['is TCP, which the kernel tells no size of', (octets) => octets.splice(8 + 23, 1, TCP)],
    ['is a fragment', (octets) => put16(octets, 8 + 20, 0x2000)],
    ['has four tags', (octets) => octets.splice(8 + 12, 0, ...Array(4).fill([0x81, 0, 0, 5]).flat())],
    ['is not IP', (octets) => put16(octets, 8 + 12, 0x88b5)],
  ])('is not believed where it %s', (_what, change) => {
    const [octets, segmentBytes] = liar(scrambled(60));
    expect(classify(octets, segmentBytes)).toBe('superFrame');
    change(octets);
    expect(classify(octets, segmentBytes)).toBe('datagrams');
  });

  it.each<[string, number[]]>([
    ['other reserved bits', [0x48, 1, 2, 3, 0, 0, 1, 0]],
    ['no VNI flag', [0, 0, 0, 0, 0, 0, 1, 0]],
    ['too little for a header', [8, 0, 0, 0, 0, 0, 1]],
  ])('is a super-frame where %s follows', (_what, second) => {
    expect(classify(...liar(second.length < 8 ? second : [...second, ...scrambled(60)]))).toBe('superFrame');
  });
});

it('random octets never throw, and nothing is written', () => {
  const noise = fc.array(fc.nat({ max: 255 }), { maxLength: 300, size: 'max' });
  const likely = fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 400 }), noise).map(([length, claimed, rest]) => {
    const octets = datagram({ ...tcp4(length), protocol: UDP });
    put16(octets, 8 + 16, claimed);
    return [...octets, ...rest];
  });
  const exact = fc.tuple(fc.nat({ max: 100 }), noise).map(([length, rest]) => {
    const octets = [...datagram({ ...tcp4(length), protocol: UDP }), ...rest];
    put16(octets, 8 + 16, octets.length - 22);
    return octets;
  });
  const seen = new Set<string | undefined>();
  fc.assert(
    fc.property(fc.oneof(noise, likely, exact), fc.integer({ min: 1, max: 400 }), (octets, segmentBytes) => {
      if (segmentBytes < octets.length) seen.add(classify(octets, segmentBytes));
    }),
    { numRuns: 1_000 },
  );
  expect(seen).toContain('superFrame');
  expect(seen).toContain('datagrams');
});
