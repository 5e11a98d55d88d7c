import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { locateHeaders, newFrameHeaders } from '../wire/ip.ts';
import { naiveSum } from '../wire/naive-sum.ts';
import { portableSums } from '../wire/octet-sums.ts';
import {
  FLAG,
  type Frame,
  get16,
  naiveFrame,
  naiveSegments,
  type Packet,
  put16,
  type SuperHeader,
  scrambled,
  TCP,
  UDP,
  vnetHeader,
  word,
} from './naive-frames.ts';
import { newSuperFrame, readSuperFrame, segmentFrameBytes, writeSegments } from './split.ts';

const GUARD = 0xa5;
const READ_AT = 64;
const VXLAN = [8, 0, 0, 0, 0, 0x12, 0x34, 0];
const TAG = [0x81, 0, 0, 5];

const gsoTypeOf = ({ version, protocol }: Packet) => (protocol === UDP ? 5 : version === 4 ? 1 : 4);

/** A super-frame as the kernel gives it: unfinished, behind its vnet header, in octets of GUARD. */
function placed(octets: readonly number[], header: readonly number[], stripped = 0) {
  const bytes = new Uint8Array(393_216).fill(GUARD);
  const frameAt = READ_AT + stripped;
  bytes.set(header, READ_AT - 10);
  bytes.set(octets, frameAt);
  const view = new DataView(bytes.buffer);
  const headers = newFrameHeaders();
  locateHeaders(view, frameAt, octets.length, headers);
  const frame = newSuperFrame();
  const isRead = readSuperFrame(view, READ_AT - 10, READ_AT, frameAt, headers, frame);
  bytes.set(VXLAN, frameAt - 8);
  return { bytes, view, frame, isRead, frameAt };
}

/** Cuts by readSuperFrame and writeSegments, all at once or slice by slice. Nothing but what is returned may be written. */
function cut(
  octets: readonly number[],
  header: readonly number[],
  { stripped = 0, slice = 65_536, to = 130_001, prefixBytes = VXLAN.length } = {},
) {
  const { bytes, view, frame, isRead, frameAt } = placed(octets, header, stripped);
  expect(isRead).toBe(true);
  const before = bytes.slice();
  const sums = portableSums(bytes);
  const lengths: number[] = [];
  let next = to;
  for (let first = 0; first < frame.segments; first += slice) {
    const count = Math.min(slice, frame.segments - first);
    const length = writeSegments(view, sums, frame, first, count, prefixBytes, next);
    lengths.push(length);
    next += length;
  }
  const written = [...bytes.subarray(to, next)];
  before.set(written, to);
  expect(Buffer.compare(bytes, before)).toBe(0);
  return { written, lengths, frame, frameAt };
}

const datagramsOf = (segments: readonly number[][]) => segments.flatMap((segment) => [...VXLAN, ...segment]);

const superHeader = (packet: Packet, { transportAt }: Frame, segmentBytes: number): SuperHeader => ({
  start: transportAt,
  protocol: packet.protocol,
  segmentBytes,
});

/** Cuts a packet and expects what the oracle says. */
function expectCut(packet: Packet, segmentBytes: number, slice = 65_536): number[][] {
  const frame = naiveFrame({ ...packet, checksum: 'partial' });
  const header = superHeader(packet, frame, segmentBytes);
  const wanted = naiveSegments(frame.octets, header);
  const { written, frame: found } = cut(frame.octets, vnetHeader(gsoTypeOf(packet), header), { slice });
  expect(found.segments).toBe(wanted.length);
  expect(segmentFrameBytes(found)).toBe(frame.payloadAt + segmentBytes);
  expect(written).toEqual(datagramsOf(wanted));
  return wanted;
}

const packets: fc.Arbitrary<Packet> = fc.record({
  version: fc.constantFrom<4 | 6>(4, 6),
  protocol: fc.constantFrom<6 | 17>(TCP, UDP),
  payload: fc
    .tuple(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1_500 })), fc.nat({ max: 999 }))
    .map(([length, seed]) =>
      seed < 50 ? Array<number>(length).fill(seed % 2 === 0 ? 0 : 0xff) : scrambled(length, seed),
    ),
  tags: fc.constantFrom<readonly number[]>([], TAG, [0x88, 0xa8, 0xe0, 6, ...TAG]),
  tos: fc.nat({ max: 255 }),
  ttl: fc.nat({ max: 255 }),
  id: fc.oneof(fc.nat({ max: 0xffff }), fc.constantFrom(0xffff, 0xfff0)),
  fragment: fc.constantFrom(0, 0x4000, 0x8000),
  ipOptions: fc.nat({ max: 10 }).map((words) => scrambled(words * 4)),
  flowLabel: fc.nat({ max: 0xf_ffff }),
  extensionUnits: fc.nat({ max: 3 }),
  sequence: fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0xffff_ffff, 0xffff_ff00, 0x7fff_ffff)),
  flags: fc.nat({ max: 0x1ff }),
  window: fc.nat({ max: 0xffff }),
  urgent: fc.nat({ max: 0xffff }),
  tcpOptions: fc.nat({ max: 10 }).map((words) => scrambled(words * 4, 3)),
});
const segmentSizes = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2_000 }));

describe('a super-frame', () => {
  it('is cut into what the oracle cuts it into, whole or slice by slice, and nothing around is touched', () => {
    fc.assert(
      fc.property(packets, segmentSizes, fc.integer({ min: 1, max: 64 }), (packet, segmentBytes, slice) => {
        expectCut(packet, segmentBytes);
        expectCut(packet, segmentBytes, slice);
      }),
      { numRuns: 400 },
    );
  });

  it.each<[string, Packet, number]>([
    ['TCP over IPv4', { version: 4, protocol: TCP, payload: scrambled(4_344) }, 1_448],
    ['TCP over IPv6, the last shorter', { version: 6, protocol: TCP, payload: scrambled(5_000) }, 1_428],
    ['UDP over IPv4', { version: 4, protocol: UDP, payload: scrambled(3_000) }, 1_000],
    ['UDP over IPv6, odd sizes', { version: 6, protocol: UDP, payload: scrambled(1_999) }, 333],
    ['one octet a segment', { version: 4, protocol: TCP, payload: scrambled(70) }, 1],
    ['one segment', { version: 4, protocol: UDP, payload: scrambled(99) }, 99],
    ['less than one segment', { version: 6, protocol: TCP, payload: scrambled(99) }, 1_448],
    ['as much as IPv4 carries', { version: 4, protocol: TCP, payload: scrambled(65_495) }, 1_448],
    ['as much as IPv6 carries', { version: 6, protocol: UDP, payload: scrambled(65_527) }, 1_452],
  ])('of %s', (_what, packet, segmentBytes) => {
    expectCut(packet, segmentBytes);
  });

  it('counts IPv4 ids up from its own, past 65,535', () => {
    const segments = expectCut({ version: 4, protocol: UDP, payload: scrambled(40), id: 0xfffe }, 10);
    expect(segments.map((octets) => get16(octets, 18))).toEqual([0xfffe, 0xffff, 0, 1]);
  });

  it('counts sequence numbers up from its own, past 2^32', () => {
    const segments = expectCut({ version: 4, protocol: TCP, payload: scrambled(300), sequence: 0xffff_ff9c }, 100);
    expect(segments.map((octets) => octets.slice(38, 42))).toEqual([
      [0xff, 0xff, 0xff, 0x9c],
      [0, 0, 0, 0],
      [0, 0, 0, 100],
    ]);
  });

  it('has CWR on its first segment alone, FIN and PSH on its last, all other flags on each', () => {
    const segments = expectCut({ version: 6, protocol: TCP, payload: scrambled(30), flags: 0x1ff }, 10);
    const each = 0x1ff & ~(FLAG.cwr | FLAG.fin | FLAG.psh);
    const flags = segments.map((octets) => get16(octets, 54 + 12) & 0x0fff);
    expect(flags).toEqual([each | FLAG.cwr, each, each | FLAG.fin | FLAG.psh]);
  });

  it('may have the ECN flag beside its type', () => {
    const packet: Packet = { version: 4, protocol: TCP, payload: scrambled(30), flags: FLAG.ack | FLAG.cwr };
    const frame = naiveFrame({ ...packet, checksum: 'partial' });
    const header = superHeader(packet, frame, 10);
    expect(cut(frame.octets, vnetHeader(0x81, header)).written).toEqual(
      datagramsOf(naiveSegments(frame.octets, header)),
    );
  });

  it.each([4, 6] as const)('of UDP over IPv%i has 0xffff where a checksum comes to zero', (version) => {
    const packet: Packet = { version, protocol: UDP, payload: [0, 0, 1, 2, 0, 0, 3, 4] };
    const octets = [...naiveFrame({ ...packet, checksum: 'partial' }).octets];
    const frame = naiveFrame({ ...packet, checksum: 'partial' });
    const header = superHeader(packet, frame, 4);
    // The first word of each segment becomes what makes the sum of all ones.
    for (const [i, segment] of naiveSegments(octets, header).entries()) {
      put16(octets, frame.payloadAt + 4 * i, get16(segment, frame.checksumAt));
    }
    const segments = naiveSegments(octets, header);
    expect(segments.map((segment) => get16(segment, frame.checksumAt))).toEqual([0xffff, 0xffff]);
    expect(cut(octets, vnetHeader(5, header)).written).toEqual(datagramsOf(segments));
  });

  it.each([1, 2])('from which %i VLAN tags were taken is found where the vnet header counts from', (tags) => {
    const packet: Packet = { version: 4, protocol: TCP, payload: scrambled(500) };
    const frame = naiveFrame({ ...packet, checksum: 'partial' });
    const stripped = 4 * tags;
    const header = superHeader(packet, frame, 100);
    const { written } = cut(frame.octets, vnetHeader(1, { ...header, start: header.start + stripped }), { stripped });
    expect(written).toEqual(datagramsOf(naiveSegments(frame.octets, header)));
  });

  it.each([0, 4, 8])('repeats %i octets of what stands in front of it before each segment', (prefixBytes) => {
    const packet: Packet = { version: 4, protocol: TCP, payload: scrambled(250) };
    const frame = naiveFrame({ ...packet, checksum: 'partial' });
    const header = superHeader(packet, frame, 100);
    const prefix = VXLAN.slice(VXLAN.length - prefixBytes);
    expect(cut(frame.octets, vnetHeader(1, header), { prefixBytes }).written).toEqual(
      naiveSegments(frame.octets, header).flatMap((segment) => [...prefix, ...segment]),
    );
  });

  it('keeps a pseudo-header that only its sender knows, as with a routing header', () => {
    const packet: Packet = { version: 6, protocol: UDP, payload: scrambled(40), extensionUnits: 1 };
    const frame = naiveFrame({ ...packet, checksum: 'partial' });
    const header = superHeader(packet, frame, 20);
    const pseudo = 0x1234;
    put16(frame.octets, frame.checksumAt, naiveSum(word(pseudo).concat(word(48))));
    const { written } = cut(frame.octets, vnetHeader(5, header));
    for (const at of [0, written.length / 2]) {
      const datagram = written.slice(at + 8 + frame.transportAt, at + written.length / 2);
      expect(naiveSum([...word(pseudo), ...word(28), ...datagram])).toBe(0xffff);
    }
  });

  it('leaves padding behind the packet out', () => {
    const packet: Packet = { version: 4, protocol: UDP, payload: scrambled(30), padding: 9 };
    expect(expectCut(packet, 20).map(({ length }) => length)).toEqual([62, 52]);
  });
});

describe('headers that contradict each other', () => {
  const packet: Packet = { version: 4, protocol: TCP, payload: scrambled(300), checksum: 'partial' };
  const frame = naiveFrame(packet);
  const header = superHeader(packet, frame, 100);
  const isRead = (octets: readonly number[], vnet: readonly number[]) => placed(octets, vnet).isRead;

  it.each<[string, number[]]>([
    ['a finished checksum', [0, ...vnetHeader(1, header).slice(1)]],
    ['IPv6', vnetHeader(4, header)],
    ['UFO', vnetHeader(3, header)],
    ['an unknown type', vnetHeader(2, header)],
    ['no segment size', vnetHeader(1, { ...header, segmentBytes: 0 })],
    ['a transport header inside the IP header', vnetHeader(1, { ...header, start: 33 })],
    ['a transport header in the Ethernet header', vnetHeader(1, { ...header, start: 0 })],
    ['a transport header at the end', vnetHeader(1, { ...header, start: frame.octets.length - 19 })],
    ['a transport header behind the end', vnetHeader(1, { ...header, start: 0xffff })],
  ])('are refused: %s', (_what, vnet) => {
    expect(isRead(frame.octets, vnetHeader(1, header))).toBe(true);
    expect(isRead(frame.octets, vnet)).toBe(false);
  });

  it('are refused: a transport header in the payload, and what IPv4 says is of another protocol or a fragment', () => {
    for (const version of [4, 6] as const) {
      const udp: Packet = { ...packet, version, protocol: UDP };
      const built = naiveFrame(udp);
      const told = superHeader(udp, built, 100);
      expect(isRead(built.octets, vnetHeader(5, told))).toBe(true);
      expect(isRead(built.octets, vnetHeader(5, { ...told, start: told.start + 100 }))).toBe(false);
    }
    for (const [at, octet] of [
      [23, 1],
      [20, 0x20],
    ] as const) {
      const octets = frame.octets.with(at, octet);
      expect(isRead(octets, vnetHeader(1, header)), `${octet} at ${at}`).toBe(false);
    }
  });

  it('are refused: a TCP header shorter than it can be, longer than the packet, or all there is', () => {
    for (const words of [0, 4, 15]) {
      const octets = [...frame.octets.slice(0, 34 + 20)];
      put16(octets, 16, 40);
      octets[46] = words * 16;
      expect(isRead(octets, vnetHeader(1, header)), `${words} words`).toBe(false);
    }
    const empty = naiveFrame({ ...packet, payload: [] });
    expect(isRead(empty.octets, vnetHeader(1, header))).toBe(false);
  });

  it.each<Packet>([packet, { ...packet, version: 6 }, { ...packet, protocol: UDP, tags: TAG }])(
    'are refused when the frame is cut anywhere: IPv$version, protocol $protocol',
    (whole) => {
      const built = naiveFrame(whole);
      const vnet = vnetHeader(gsoTypeOf(whole), superHeader(whole, built, 100));
      for (let length = 0; length < built.octets.length; length++) {
        expect(isRead(built.octets.slice(0, length), vnet), `${length} octets`).toBe(false);
      }
      expect(isRead(built.octets, vnet)).toBe(true);
    },
  );

  it('are refused or can be cut, and never throw, whatever they are', () => {
    const u16 = fc.nat({ max: 0xffff });
    const likely = fc
      .tuple(
        fc.constantFrom(1, 4, 5, 0x81),
        u16,
        fc.oneof(u16, fc.nat({ max: 300 })),
        fc.oneof(fc.nat({ max: 120 }), { weight: 4, arbitrary: fc.constantFrom(34, 38, 54, 58) }),
        u16,
      )
      .map(([type, ...words]) => [1, type, ...words.flatMap((value) => [value & 0xff, value >> 8])]);
    const any = fc.array(fc.nat({ max: 255 }), { minLength: 10, maxLength: 10, size: 'max' });
    const octets = fc.oneof(
      fc.array(fc.nat({ max: 255 }), { maxLength: 200, size: 'max' }),
      packets.map((each) => naiveFrame(each).octets),
    );
    const damage = fc.array(fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 255 })), { maxLength: 3, size: 'max' });
    let read = 0;
    fc.assert(
      fc.property(octets, fc.oneof(any, { weight: 4, arbitrary: likely }), damage, (all, vnet, damages) => {
        const damaged = [...all];
        for (const [at, octet] of damages) if (at < damaged.length) damaged[at] = octet;
        if (!isRead(damaged, vnet)) return;
        read++;
        const { written, frame: found } = cut(damaged, vnet);
        expect(found.headerBytes + found.payloadBytes).toBeLessThanOrEqual(damaged.length);
        expect(written.length).toBe(found.segments * (8 + found.headerBytes) + found.payloadBytes);
      }),
      { numRuns: 3_000 },
    );
    expect(read).toBeGreaterThan(20);
  });
});
