import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FrameHeaders, locateHeaders, newFrameHeaders } from '../wire/ip.ts';
import { naiveSum } from '../wire/naive-sum.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { describeFrame } from './partial-frame.ts';

const MTU = 1450;
const TCP = 6;
const UDP = 17;
const ACK = 0x10;
const CWR = 0x80;

/** In front of the header, so that an absolute offset is not taken for one inside the frame. */
const HEADER_AT = 6;
const FRAME_AT = HEADER_AT + VNET_HDR_BYTES;

const word = (value: number) => [(value >> 8) & 0xff, value & 0xff];

interface Spec {
  readonly version: 4 | 6;
  readonly protocol: typeof TCP | typeof UDP;
  readonly payload: Uint8Array;
  readonly tags?: number;
  readonly ipOptionWords?: number;
  readonly tcpOptionWords?: number;
  readonly tcpFlags?: number;
  readonly fragment?: number;
  readonly padding?: number;
}

interface Frame {
  readonly octets: Uint8Array;
  /** All offsets are from the frame's first octet. */
  readonly networkAt: number;
  readonly transportAt: number;
  readonly checksumAt: number;
  readonly payloadAt: number;
  readonly networkEnd: number;
  readonly pseudo: readonly number[];
}

/** A frame as a kernel vxlan device sends it: its transport checksum field holds the folded pseudo-header sum. */
function partial(spec: Spec): Frame {
  const { version, protocol, payload, tags = 0, ipOptionWords = 0, tcpOptionWords = 0, padding = 0 } = spec;
  const { tcpFlags = ACK, fragment = 0x4000 } = spec;
  const tcpBytes = 20 + tcpOptionWords * 4;
  const transportBytes = protocol === TCP ? tcpBytes : 8;
  const segmentBytes = transportBytes + payload.length;
  const addresses =
    version === 4 ? [192, 0, 2, 1, 192, 0, 2, 200] : Array.from({ length: 32 }, (_, i) => (i % 16 === 0 ? 0xfd : i));
  const optionBytes = version === 4 ? ipOptionWords * 4 : 0;
  const network =
    version === 4
      ? [0x45 + ipOptionWords, 0, ...word(20 + optionBytes + segmentBytes), 0, 1, ...word(fragment), 64, protocol, 0, 0]
      : [0x60, 0, 0, 0, ...word(segmentBytes), protocol, 64];
  const pseudo = [...addresses, 0, protocol, ...word(segmentBytes)];
  const sum = word(naiveSum(pseudo));
  const ports = [0x9c, 0x40, 0x01, 0xbb];
  const transport =
    protocol === TCP
      ? [...ports, 1, 2, 3, 4, 5, 6, 7, 8, (tcpBytes / 4) << 4, tcpFlags, 1, 2, ...sum, 0, 0]
      : [...ports, ...word(segmentBytes), ...sum];
  const head = [
    ...[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
    ...Array(tags).fill([0x81, 0, 0, 10]).flat(),
    ...word(version === 4 ? 0x0800 : 0x86dd),
  ];
  const networkAt = head.length;
  const transportAt = networkAt + network.length + addresses.length + optionBytes;
  const payloadAt = transportAt + transportBytes;
  const octets = new Uint8Array(payloadAt + payload.length + padding).fill(1);
  octets.set([...head, ...network, ...addresses]);
  octets.set(transport, transportAt);
  octets.set(payload, payloadAt);
  const networkEnd = payloadAt + payload.length;
  const checksumAt = transportAt + (protocol === TCP ? 16 : 6);
  return { octets, networkAt, transportAt, checksumAt, payloadAt, networkEnd, pseudo };
}

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + 3) & 0xff);

/** The sum over pseudo-header and segment, which is 0xffff if the checksum is right. */
const segmentSum = ({ octets, transportAt, networkEnd, pseudo }: Frame) =>
  naiveSum([...pseudo, ...octets.subarray(transportAt, networkEnd)]);

/** Finishes the frame as the kernel behind the TAP does: the complement of the sum from csum_start on. */
function finish(frame: Frame, csumStart: number, csumOffset: number): Frame {
  const octets = frame.octets.slice();
  const checksum = 0xffff - naiveSum(octets.subarray(csumStart, frame.networkEnd));
  octets.set(word(checksum === 0 ? 0xffff : checksum), csumStart + csumOffset);
  return { ...frame, octets };
}

interface VirtioNetHdr {
  readonly flags: number;
  readonly gsoType: number;
  readonly hdrLen: number;
  readonly gsoSize: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

const PLAIN: VirtioNetHdr = { flags: 0, gsoType: 0, hdrLen: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };

/** Headers left over from another frame. */
const stale = (): FrameHeaders => ({ ipVersion: 6, networkAt: 1e6, networkEnd: 1e6, transport: TCP, transportAt: 1e6 });

/** The header of a frame that ends its buffer; nothing but the ten octets of the header may change. */
function described(frame: Uint8Array, mtuBytes = MTU, { headers = stale(), segmentBytes = 0 } = {}): VirtioNetHdr {
  const buffer = Buffer.alloc(FRAME_AT + frame.length, 0xa5);
  buffer.set(frame, FRAME_AT);
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  locateHeaders(view, FRAME_AT, frame.length, headers);
  const isFinished = describeFrame(view, HEADER_AT, FRAME_AT, headers, mtuBytes, segmentBytes);
  expect(buffer.subarray(0, HEADER_AT).equals(Buffer.alloc(HEADER_AT, 0xa5))).toBe(true);
  expect(buffer.subarray(FRAME_AT).equals(frame)).toBe(true);
  const [flags = -1, gsoType = -1] = buffer.subarray(HEADER_AT);
  const [hdrLen = -1, gsoSize = -1, csumStart = -1, csumOffset = -1] = [2, 4, 6, 8].map((at) =>
    buffer.readUInt16LE(HEADER_AT + at),
  );
  expect(isFinished).toBe(flags === 0);
  return { flags, gsoType, hdrLen, gsoSize, csumStart, csumOffset };
}

/** The header that a frame of `partial` must get. @param segmentBytes what its sender told of segments, or 0 */
function expectedHeader(spec: Spec, frame: Frame, mtuBytes: number, segmentBytes: number): VirtioNetHdr {
  const csumStart = frame.transportAt;
  const unfinished = { ...PLAIN, flags: 1, csumStart, csumOffset: frame.checksumAt - frame.transportAt };
  const headerBytes = frame.payloadAt - frame.networkAt;
  // UDP is cut where its sender said, TCP also where the MTU says.
  const gsoSize = segmentBytes === 0 && spec.protocol === TCP ? mtuBytes - headerBytes : segmentBytes;
  if (gsoSize <= 0 || spec.payload.length <= gsoSize) return unfinished;
  if (spec.protocol === UDP) return { ...unfinished, gsoType: 5, hdrLen: frame.payloadAt, gsoSize };
  const ecn = ((spec.tcpFlags ?? ACK) & CWR) === 0 ? 0 : 0x80;
  return { ...unfinished, gsoType: (spec.version === 4 ? 1 : 4) + ecn, hdrLen: frame.payloadAt, gsoSize };
}

const kinds: [string, Pick<Spec, 'version' | 'protocol'>][] = [
  ['IPv4 TCP', { version: 4, protocol: TCP }],
  ['IPv6 TCP', { version: 6, protocol: TCP }],
  ['IPv4 UDP', { version: 4, protocol: UDP }],
  ['IPv6 UDP', { version: 6, protocol: UDP }],
];

describe.each(kinds)('%s', (_name, kind) => {
  it('with a finished checksum gets a plain header', () => {
    const frame = partial({ ...kind, payload: bytes(101) });
    const finished = finish(frame, frame.transportAt, frame.checksumAt - frame.transportAt);
    expect(segmentSum(finished)).toBe(0xffff);
    expect(described(finished.octets)).toEqual(PLAIN);
  });

  it('with an unfinished checksum is described so that finishing it gives the right one', () => {
    for (const length of [0, 1, 2, 100, 101]) {
      const frame = partial({ ...kind, payload: bytes(length) });
      const header = described(frame.octets);
      expect(header).toMatchObject({ flags: 1, gsoType: 0, hdrLen: 0, gsoSize: 0 });
      expect(segmentSum(finish(frame, header.csumStart, header.csumOffset))).toBe(0xffff);
    }
  });

  it('with any value but the pseudo-header sum in its checksum field gets a plain header', () => {
    const frame = partial({ ...kind, payload: bytes(10) });
    const sum = naiveSum(frame.pseudo);
    for (const other of [0, 0xffff, sum - 1, sum + 1, 0xffff - sum, ((sum & 0xff) << 8) | (sum >> 8)]) {
      frame.octets.set(word(other), frame.checksumAt);
      expect(described(frame.octets), `${other}`).toEqual(PLAIN);
    }
  });

  it('finished to the pseudo-header sum by chance is finished to the same value again', () => {
    const frame = partial({ ...kind, payload: Uint8Array.of(0, 0, 9, 9) });
    // With s for all but the field and the first word of payload, the field f is right if f + s + word is 0xffff.
    const pseudoTwice = [...frame.pseudo, ...frame.octets.subarray(frame.transportAt, frame.networkEnd)];
    frame.octets.set(word(0xffff - naiveSum(pseudoTwice)), frame.payloadAt);
    expect(segmentSum(frame)).toBe(0xffff);
    const header = described(frame.octets);
    expect(header.flags).toBe(1);
    expect(finish(frame, header.csumStart, header.csumOffset).octets).toEqual(frame.octets);
  });

  it('cut anywhere gets a plain header, and the cut is not read over', () => {
    const { octets } = partial({ ...kind, payload: bytes(8), tags: 1 });
    for (let length = 0; length < octets.length; length++) {
      expect(described(octets.subarray(0, length)), `${length} octets`).toEqual(PLAIN);
    }
    expect(described(octets).flags).toBe(1);
  });
});

describe('a TCP super-frame', () => {
  const tcp4 = { version: 4, protocol: TCP } as const;
  const tcp6 = { version: 6, protocol: TCP } as const;

  it.each<[string, Spec, Partial<VirtioNetHdr>]>([
    ['over IPv4', { ...tcp4, payload: bytes(5000) }, { gsoType: 1, hdrLen: 54, gsoSize: 1410, csumStart: 34 }],
    ['over IPv6', { ...tcp6, payload: bytes(5000) }, { gsoType: 4, hdrLen: 74, gsoSize: 1390, csumStart: 54 }],
    [
      'with timestamps',
      { ...tcp4, tcpOptionWords: 3, payload: bytes(5000) },
      { gsoType: 1, hdrLen: 66, gsoSize: 1398, csumStart: 34 },
    ],
    [
      'with IPv4 options',
      { ...tcp4, ipOptionWords: 2, payload: bytes(5000) },
      { gsoType: 1, hdrLen: 62, gsoSize: 1402, csumStart: 42 },
    ],
    [
      'with all 40 octets of TCP options over IPv6',
      { ...tcp6, tcpOptionWords: 10, payload: bytes(5000) },
      { gsoType: 4, hdrLen: 114, gsoSize: 1350, csumStart: 54 },
    ],
    [
      'behind a VLAN tag, which the MTU does not count',
      { ...tcp4, tags: 1, payload: bytes(5000) },
      { gsoType: 1, hdrLen: 58, gsoSize: 1410, csumStart: 38 },
    ],
    [
      'behind two VLAN tags over IPv6',
      { ...tcp6, tags: 2, payload: bytes(5000) },
      { gsoType: 4, hdrLen: 82, gsoSize: 1390, csumStart: 62 },
    ],
    [
      'with CWR over IPv4',
      { ...tcp4, tcpFlags: ACK | CWR, payload: bytes(5000) },
      { gsoType: 0x81, hdrLen: 54, gsoSize: 1410 },
    ],
    [
      'with CWR over IPv6',
      { ...tcp6, tcpFlags: ACK | CWR, payload: bytes(5000) },
      { gsoType: 0x84, hdrLen: 74, gsoSize: 1390 },
    ],
    ['with ECE and no CWR', { ...tcp4, tcpFlags: ACK | 0x40, payload: bytes(5000) }, { gsoType: 1, gsoSize: 1410 }],
    ['of 65,535 octets', { ...tcp4, payload: bytes(65_495) }, { gsoType: 1, hdrLen: 54, gsoSize: 1410 }],
  ])('%s', (_name, spec, header) => {
    const frame = partial(spec);
    const found = described(frame.octets);
    expect(found).toMatchObject({ flags: 1, csumOffset: 16, ...header });
    expect(segmentSum(finish(frame, found.csumStart, found.csumOffset))).toBe(0xffff);
  });

  it.each([tcp4, tcp6])('begins one octet above the MTU: IPv$version', (kind) => {
    const headerBytes = kind.version === 4 ? 40 : 60;
    expect(described(partial({ ...kind, payload: bytes(MTU - headerBytes) }).octets).gsoType).toBe(0);
    const over = described(partial({ ...kind, payload: bytes(MTU - headerBytes + 1) }).octets);
    expect(over).toMatchObject({ gsoType: kind.version === 4 ? 1 : 4, gsoSize: MTU - headerBytes });
  });

  it('is not made one by padding behind the IP packet', () => {
    const spec = { ...tcp4, payload: bytes(MTU - 40), padding: 20 };
    expect(described(partial(spec).octets)).toMatchObject({ flags: 1, gsoType: 0, gsoSize: 0 });
  });

  it('with a finished checksum is left alone', () => {
    const frame = finish(partial({ ...tcp4, payload: bytes(5000) }), 34, 16);
    expect(described(frame.octets)).toEqual(PLAIN);
  });

  it.each([
    [0, 0, 0],
    [20, 0, 0],
    [40, 0, 0],
    [41, 1, 1],
    [68, 1, 28],
  ])('at an MTU of %i gets GSO type %i and segments of %i octets', (mtuBytes, gsoType, gsoSize) => {
    const header = described(partial({ ...tcp4, payload: bytes(5000) }).octets, mtuBytes);
    expect(header).toMatchObject({ flags: 1, gsoType, gsoSize, hdrLen: gsoType === 0 ? 0 : 54, csumStart: 34 });
  });
});

it.each([4, 6] as const)(
  'large UDP over IPv%i is a super-frame where its sender told the size of the segments',
  (version) => {
    const frame = partial({ version, protocol: UDP, payload: bytes(9000) });
    const header = described(frame.octets, MTU, { segmentBytes: 1000 });
    const csumStart = version === 4 ? 34 : 54;
    expect(header).toEqual({ flags: 1, gsoType: 5, hdrLen: csumStart + 8, gsoSize: 1000, csumStart, csumOffset: 6 });
  },
);

it.each([4, 6] as const)('TCP over IPv%i is cut as its sender told, whatever the MTU', (version) => {
  const frame = partial({ version, protocol: TCP, payload: bytes(9000) });
  expect(described(frame.octets, MTU, { segmentBytes: 536 })).toMatchObject({
    gsoType: version === 4 ? 1 : 4,
    gsoSize: 536,
  });
});

it.each([4, 6] as const)(
  'large UDP over IPv%i of unknown segments has its checksum finished and is not cut',
  (version) => {
    const frame = partial({ version, protocol: UDP, payload: bytes(9000) });
    expect(described(frame.octets)).toEqual({ ...PLAIN, flags: 1, csumStart: version === 4 ? 34 : 54, csumOffset: 6 });
  },
);

it.each([0x2000, 0x2010, 0x0010])(
  'a fragment (flags and offset %i) gets a plain header, whatever stands in the field',
  (fragment) => {
    const frame = partial({ version: 4, protocol: UDP, payload: bytes(64), fragment });
    expect(described(frame.octets)).toEqual(PLAIN);
  },
);

it('a frame behind four VLAN tags and one that is not IP get plain headers', () => {
  expect(described(partial({ version: 4, protocol: TCP, payload: bytes(9), tags: 4 }).octets)).toEqual(PLAIN);
  expect(described(Uint8Array.from([...Array(12).fill(2), 8, 6, ...Array(46).fill(0)]))).toEqual(PLAIN);
});

it('one scratch serves frame after frame', () => {
  const headers = newFrameHeaders();
  const big = partial({ version: 6, protocol: TCP, payload: bytes(3000) }).octets;
  expect(described(big, MTU, { headers }).gsoType).toBe(4);
  expect(described(big.subarray(0, 40), MTU, { headers })).toEqual(PLAIN);
  expect(described(big, MTU, { headers }).gsoType).toBe(4);
});

it('any unfinished frame gets the header that its parts say, and finishing it gives the right checksum', () => {
  const seen = new Set<number>();
  const specs: fc.Arbitrary<Spec> = fc.record({
    version: fc.constantFrom<4 | 6>(4, 6),
    protocol: fc.constantFrom<6 | 17>(TCP, UDP),
    payload: fc.uint8Array({ maxLength: 300, size: 'max' }),
    tags: fc.nat({ max: 2 }),
    ipOptionWords: fc.nat({ max: 10 }),
    tcpOptionWords: fc.nat({ max: 10 }),
    tcpFlags: fc.nat({ max: 255 }),
    padding: fc.nat({ max: 20 }),
  });
  const segmentSizes = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2_000 }));
  fc.assert(
    fc.property(specs, fc.integer({ min: 1, max: 400 }), segmentSizes, (spec, mtuBytes, segmentBytes) => {
      const frame = partial(spec);
      const header = described(frame.octets, mtuBytes, { segmentBytes });
      expect(header).toEqual(expectedHeader(spec, frame, mtuBytes, segmentBytes));
      expect(segmentSum(finish(frame, header.csumStart, header.csumOffset))).toBe(0xffff);
      seen.add(header.gsoType);
    }),
    { numRuns: 600 },
  );
  expect(seen).toEqual(new Set([0, 1, 4, 5, 0x81, 0x84]));
});

it('random octets never throw, and only the header in front of the frame changes', () => {
  const noise = fc.uint8Array({ maxLength: 120, size: 'max' });
  const damage = fc.record({
    frame: fc.constantFrom(...kinds.map(([, kind]) => partial({ ...kind, payload: bytes(20), tags: 1 }).octets)),
    at: fc.nat({ max: 100 }),
    octet: fc.nat({ max: 255 }),
  });
  const damaged = damage.map(({ frame, at, octet }) => frame.map((was, i) => (i === at ? octet : was)));
  fc.assert(
    fc.property(fc.oneof(noise, damaged), fc.nat({ max: 1500 }), (frame, mtuBytes) => {
      const { flags, csumStart, csumOffset } = described(frame, mtuBytes);
      // What is left to the kernel lies inside the frame.
      if (flags !== 0) expect(csumStart + csumOffset + 2).toBeLessThanOrEqual(frame.length);
    }),
    { numRuns: 1000 },
  );
});
