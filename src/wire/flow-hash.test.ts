import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flowHash } from './flow-hash.ts';
import { type FrameHeaders, locateHeaders } from './ip.ts';
import { placedAt } from './octets-rig.ts';

const AT = 5;
const TCP = 6;
const UDP = 17;
const ICMP = 1;

const word = (value: number) => [value >> 8, value & 0xff];
const zeros = (count: number): number[] => Array(count).fill(0);

/** What makes a flow. Numbers stand for addresses and MACs. */
interface Flow {
  readonly version: 4 | 6;
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** What may differ from frame to frame of one flow. */
interface Frame {
  readonly ttl: number;
  readonly trafficClass: number;
  readonly id: number;
  readonly tcpFlags: number;
  readonly sequence: number;
  readonly payload: readonly number[];
  readonly padding: number;
  readonly tags: readonly number[];
  readonly macs: readonly number[];
}

const FRAME: Frame = {
  ttl: 64,
  trafficClass: 0,
  id: 0,
  tcpFlags: 0x10,
  sequence: 0,
  payload: [],
  padding: 0,
  tags: [],
  macs: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
};

const FLOW: Flow = { version: 4, source: 1, destination: 2, protocol: TCP, sourcePort: 40_000, destinationPort: 443 };

function transport(flow: Flow, { sequence, tcpFlags, payload }: Frame): number[] {
  const ports = [...word(flow.sourcePort), ...word(flow.destinationPort)];
  if (flow.protocol === TCP) {
    return [...ports, 0, 0, ...word(sequence), 0, 0, 0, 0, 0x50, tcpFlags, 1, 0, 0, 0, 0, 0, ...payload];
  }
  if (flow.protocol === UDP) return [...ports, ...word(8 + payload.length), ...word(sequence), ...payload];
  return [8, 0, ...word(sequence), ...ports, ...payload];
}

/** @param fragment the IPv4 field of flags and offset; `body` is then the fragment's octets */
function octetsOf(flow: Flow, frame: Frame, fragment = 0, body = transport(flow, frame)): number[] {
  const address = (n: number) =>
    flow.version === 4 ? [198, 18, ...word(n)] : [0xfd, 0, ...zeros(6), ...word(n), ...zeros(6)];
  const addresses = [...address(flow.source), ...address(flow.destination)];
  const { ttl, trafficClass, id, macs, tags, padding } = frame;
  const packet =
    flow.version === 4
      ? [0x45, trafficClass, ...word(20 + body.length), ...word(id), ...word(fragment), ttl, flow.protocol, ...word(id)]
      : [0x60 + (trafficClass >> 4), (trafficClass & 15) << 4, ...word(id), ...word(body.length), flow.protocol, ttl];
  const type = word(flow.version === 4 ? 0x0800 : 0x86dd);
  const tagOctets = tags.flatMap((vid) => [0x81, 0, ...word(vid)]);
  return [...macs, ...tagOctets, ...type, ...packet, ...addresses, ...body, ...zeros(padding)];
}

/** The hash of a frame that ends its buffer, with headers left over from another frame. */
function hashOf(frame: readonly number[]): number {
  const view = placedAt(frame, AT);
  const headers: FrameHeaders = { ipVersion: 6, networkAt: 1e6, networkEnd: 1e6, transport: TCP, transportAt: 1e6 };
  locateHeaders(view, AT, frame.length, headers);
  return flowHash(view, AT, headers);
}

const u16 = fc.nat({ max: 0xffff });
const octet = fc.nat({ max: 255 });
const flows: fc.Arbitrary<Flow> = fc.record({
  version: fc.constantFrom<4 | 6>(4, 6),
  source: u16,
  destination: u16,
  protocol: fc.constantFrom(TCP, UDP, ICMP),
  sourcePort: u16,
  destinationPort: u16,
});
/** Few values, so that two flows are often the same or differ in one thing alone. */
const similarFlows: fc.Arbitrary<Flow> = fc.record({
  version: fc.constant<4>(4),
  source: fc.constantFrom(1, 2),
  destination: fc.constantFrom(1, 2),
  protocol: fc.constantFrom(TCP, UDP),
  sourcePort: fc.constantFrom(1024, 1025),
  destinationPort: fc.constantFrom(1024, 1025),
});
const variations: fc.Arbitrary<Frame> = fc.record({
  ttl: octet,
  trafficClass: octet,
  id: u16,
  tcpFlags: octet,
  sequence: u16,
  payload: fc.array(octet, { maxLength: 30, size: 'max' }),
  padding: fc.nat({ max: 10 }),
  tags: fc.array(fc.nat({ max: 4095 }), { maxLength: 2 }),
  macs: fc.array(octet, { minLength: 12, maxLength: 12 }),
});

describe('frames of one flow', () => {
  it('have one hash, whatever their TTL, class, flags, payload, padding, tags and MACs', () => {
    fc.assert(
      fc.property(flows, variations, variations, (flow, one, other) => {
        expect(hashOf(octetsOf(flow, one))).toBe(hashOf(octetsOf(flow, other)));
      }),
      { numRuns: 300 },
    );
  });

  it('and of no other have it: hashes are equal where addresses, protocol and ports are', () => {
    let equal = 0;
    fc.assert(
      fc.property(similarFlows, similarFlows, variations, (one, other, frame) => {
        const isSame = JSON.stringify(Object.values(one)) === JSON.stringify(Object.values(other));
        if (isSame) equal++;
        expect(hashOf(octetsOf(one, frame)) === hashOf(octetsOf(other, FRAME))).toBe(isSame);
      }),
      { numRuns: 500 },
    );
    expect(equal).toBeGreaterThan(0);
  });

  it('of ICMP go by addresses alone', () => {
    const icmp = { ...FLOW, protocol: ICMP };
    expect(hashOf(octetsOf({ ...icmp, sourcePort: 1 }, FRAME))).toBe(
      hashOf(octetsOf({ ...icmp, sourcePort: 2 }, FRAME)),
    );
    expect(hashOf(octetsOf({ ...icmp, source: 9 }, FRAME))).not.toBe(hashOf(octetsOf(icmp, FRAME)));
  });
});

describe.each([4, 6] as const)('the hash of an IPv%i flow', (version) => {
  const flow = { ...FLOW, version };

  it.each([
    ['source port', { sourcePort: 40_001 }],
    ['destination port', { destinationPort: 80 }],
    ['source address', { source: 7 }],
    ['destination address', { destination: 7 }],
    ['protocol', { protocol: UDP }],
    ['direction', { source: flow.destination, destination: flow.source }],
    ['direction of its ports', { sourcePort: flow.destinationPort, destinationPort: flow.sourcePort }],
  ])('differs by %s', (_name, change) => {
    expect(hashOf(octetsOf({ ...flow, ...change }, FRAME))).not.toBe(hashOf(octetsOf(flow, FRAME)));
  });

  it('differs by every bit of the addresses', () => {
    const frame = octetsOf(flow, FRAME);
    const first = version === 4 ? 26 : 22;
    const hashes = new Set([hashOf(frame)]);
    const bits = (version === 4 ? 8 : 32) * 8;
    for (let bit = 0; bit < bits; bit++) {
      hashes.add(hashOf(frame.map((o, i) => (i === first + (bit >> 3) ? o ^ (1 << (bit & 7)) : o))));
    }
    expect(hashes.size).toBe(bits + 1);
  });
});

describe('fragments', () => {
  it('of one IPv4 datagram have one hash, though only the first has ports', () => {
    fc.assert(
      fc.property(flows, variations, fc.array(octet, { minLength: 64, maxLength: 64 }), (flow, frame, payload) => {
        const inner: Flow = { ...flow, version: 4 };
        const body = transport(inner, { ...frame, payload });
        const fragment = (from: number, to: number, flags: number) =>
          hashOf(octetsOf(inner, frame, flags | (from / 8), body.slice(from, to)));
        const hashes = [fragment(0, 24, 0x2000), fragment(24, 48, 0x2000), fragment(48, body.length, 0)];
        expect(new Set(hashes).size).toBe(1);
      }),
    );
  });

  it('of one IPv6 datagram have one hash', () => {
    const flow: Flow = { ...FLOW, version: 6, protocol: 44 };
    const fragment = (offset: number, more: number, octets: number) =>
      hashOf(octetsOf(flow, FRAME, 0, [UDP, 0, ...word(offset | more), 0, 0, 0, 1, ...Array(32).fill(octets)]));
    expect(new Set([fragment(0, 1, 1), fragment(32, 1, 2), fragment(64, 0, 3)]).size).toBe(1);
  });
});

describe('frames that are not IP', () => {
  const MACS = FRAME.macs;
  const arp = (macs: readonly number[], body: number) => hashOf([...macs, 8, 6, ...Array(46).fill(body)]);

  it('have one hash for the same MACs and type, whatever follows', () => {
    expect(arp(MACS, 1)).toBe(arp(MACS, 2));
  });

  it('differ by every bit of both MACs and of the type', () => {
    const frame = [...MACS, 0x60, 0x02, ...zeros(46)];
    const hashes = new Set([hashOf(frame)]);
    for (let bit = 0; bit < 112; bit++)
      hashes.add(hashOf(frame.map((o, i) => (i === bit >> 3 ? o ^ (1 << (bit & 7)) : o))));
    expect(hashes.size).toBe(113);
  });

  it('may be cut behind the type', () => {
    expect(hashOf([...MACS, 8, 6])).toBe(arp(MACS, 0));
  });
});

it('a frame of any 14 octets or more has a hash of 31 unsigned bits', () => {
  const noise = fc.array(octet, { minLength: 14, maxLength: 80, size: 'max' });
  const types = fc.constantFrom([], [8, 0], [8, 0, 0x45], [0x86, 0xdd, 0x60], [0x81, 0]);
  fc.assert(
    fc.property(noise, types, (frame, type) => {
      const octets = [...frame.slice(0, 12), ...type, ...frame.slice(12 + type.length)];
      const hash = hashOf(octets);
      expect(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 31, `${hash}`).toBe(true);
    }),
    { numRuns: 500 },
  );
});

describe('200 flows use at least 12 of 16 ports, none with more than 40', () => {
  const macs = (i: number) => [...FRAME.macs.slice(0, 11), i];
  it.each<[string, (i: number) => number[]]>([
    ['source ports one after another', (i) => octetsOf({ ...FLOW, sourcePort: 40_000 + i }, FRAME)],
    ['even source ports', (i) => octetsOf({ ...FLOW, sourcePort: 40_000 + 2 * i }, FRAME)],
    ['source ports 256 apart', (i) => octetsOf({ ...FLOW, sourcePort: 256 * i }, FRAME)],
    ['destination ports of UDP', (i) => octetsOf({ ...FLOW, protocol: UDP, destinationPort: 5000 + i }, FRAME)],
    ['IPv4 clients', (i) => octetsOf({ ...FLOW, source: i }, FRAME)],
    ['IPv6 clients', (i) => octetsOf({ ...FLOW, version: 6, source: i }, FRAME)],
    ['IPv6 source ports', (i) => octetsOf({ ...FLOW, version: 6, sourcePort: 40_000 + i }, FRAME)],
    ['MACs of stations', (i) => [...macs(i), 8, 6, ...zeros(46)]],
  ])('%s', (_name, flow) => {
    const counts = new Map<number, number>();
    for (let i = 0; i < 200; i++) {
      const port = hashOf(flow(i)) % 16;
      counts.set(port, (counts.get(port) ?? 0) + 1);
    }
    expect(counts.size).toBeGreaterThanOrEqual(12);
    expect(Math.max(...counts.values())).toBeLessThanOrEqual(40);
  });
});
