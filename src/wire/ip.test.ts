import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FrameHeaders, locateHeaders, newFrameHeaders, tcpHeaderBytes } from './ip.ts';
import { placedAt } from './octets-rig.ts';

const AT = 7;
const TCP = 6;
const UDP = 17;
const ICMP = 1;
const MACS = [2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2];

const word = (value: number) => [(value >> 8) & 0xff, value & 0xff];
const zeros = (count: number): number[] => Array(count).fill(0);

/** What a test says of a frame, offsets counted from its first octet. Fields that mean nothing are left out. */
interface Located {
  readonly ipVersion: number;
  readonly networkAt?: number;
  readonly networkEnd?: number;
  readonly transport?: number;
  readonly transportAt?: number;
}

const NOT_IP: Located = { ipVersion: 0 };

/** Headers left over from another frame: each field must be set anew or mean nothing. */
const stale = (): FrameHeaders => ({ ipVersion: 6, networkAt: 1e6, networkEnd: 1e6, transport: TCP, transportAt: 1e6 });

/** What `locateHeaders` finds in a buffer that begins AT octets before the frame and ends with it. */
function locate(frame: readonly number[]): Located {
  const view = placedAt(frame, AT);
  const headers = stale();
  locateHeaders(view, AT, frame.length, headers);
  const { ipVersion, transport } = headers;
  // Without IP there is no transport either: readers look at `transport` alone.
  if (ipVersion === 0) return transport === 0 ? NOT_IP : { ipVersion, transport };
  const network = { ipVersion, networkAt: headers.networkAt - AT, networkEnd: headers.networkEnd - AT };
  return transport === 0 ? network : { ...network, transport, transportAt: headers.transportAt - AT };
}

/** The same, read off step by step from ever shorter arrays. */
function naive(frame: readonly number[]): Located {
  const u16 = (octets: readonly number[], i: number) => (octets[i] ?? Number.NaN) * 256 + (octets[i + 1] ?? Number.NaN);
  let rest = frame.slice(12);
  for (let tags = 0; [0x8100, 0x88a8].includes(u16(rest, 0)); tags++) {
    if (tags === 3) return NOT_IP;
    rest = rest.slice(4);
  }
  const type = u16(rest, 0);
  const packet = rest.slice(2);
  const networkAt = frame.length - packet.length;
  const [first = 0] = packet;
  const ipVersion = type === 0x0800 ? 4 : type === 0x86dd ? 6 : 0;
  const fixedBytes = ipVersion === 4 ? 20 : 40;
  if (ipVersion === 0 || packet.length < fixedBytes || Math.floor(first / 16) !== ipVersion) return NOT_IP;

  const headerBytes = ipVersion === 4 ? (first % 16) * 4 : 40;
  const totalBytes = ipVersion === 4 ? u16(packet, 2) : 40 + u16(packet, 4);
  if (headerBytes < fixedBytes || totalBytes < headerBytes || totalBytes > packet.length) return NOT_IP;
  const network = { ipVersion, networkAt, networkEnd: networkAt + totalBytes };
  // Of the 16 bits the lower 13 are the offset; above them more-fragments, then do-not-fragment.
  const fragment = u16(packet, 6);
  if (ipVersion === 4 && (fragment % 8192 !== 0 || Math.floor(fragment / 8192) % 2 === 1)) return network;

  const transport = packet[ipVersion === 4 ? 9 : 6] ?? 0;
  const segment = packet.slice(headerBytes, totalBytes);
  const whole = { ...network, transport, transportAt: networkAt + headerBytes };
  if (transport === UDP) return segment.length >= 8 ? whole : network;
  if (transport !== TCP || segment.length < 20) return network;
  const tcpBytes = Math.floor((segment[12] ?? 0) / 16) * 4;
  return tcpBytes >= 20 && tcpBytes <= segment.length ? whole : network;
}

interface Packet {
  readonly version: 4 | 6;
  readonly protocol: number;
  /** All of the IP packet behind the fixed header, IPv4 options included. */
  readonly body: readonly number[];
  readonly optionWords?: number;
  readonly fragment?: number;
  readonly totalDelta?: number;
  readonly firstOctet?: number;
}

function ipPacket(packet: Packet): number[] {
  const { version, protocol, body, optionWords = 0, fragment = 0, totalDelta = 0 } = packet;
  const first = packet.firstOctet ?? (version === 4 ? 0x45 + optionWords : 0x60);
  if (version === 6) {
    return [first, 0, 0, 0, ...word(body.length + totalDelta), protocol, 64, ...Array(32).fill(0x11), ...body];
  }
  const length = word(20 + body.length + totalDelta);
  return [first, 0, ...length, 0, 1, ...word(fragment), 64, protocol, 0, 0, ...Array(8).fill(0x11), ...body];
}

const tcp = (dataOffset: number, bytes: number) => [...zeros(12), dataOffset << 4, ...zeros(60)].slice(0, bytes);

function etherFrame(version: 4 | 6, packet: readonly number[], tags: readonly number[] = []): number[] {
  return [...MACS, ...tags.flatMap((t) => [...word(t), 0, 10]), ...word(version === 4 ? 0x0800 : 0x86dd), ...packet];
}

const v4 = (packet: Omit<Packet, 'version'>, tags?: readonly number[]) =>
  etherFrame(4, ipPacket({ version: 4, ...packet }), tags);
const v6 = (packet: Omit<Packet, 'version'>, tags?: readonly number[]) =>
  etherFrame(6, ipPacket({ version: 6, ...packet }), tags);

it('newFrameHeaders describes no frame', () => {
  const headers = newFrameHeaders();
  expect([headers.ipVersion, headers.transport]).toEqual([0, 0]);
});

describe('locateHeaders by hand', () => {
  const udp = { protocol: UDP, body: zeros(8) };
  const found = (ipVersion: number, networkAt: number, networkEnd: number) => ({ ipVersion, networkAt, networkEnd });
  it.each<[string, number[], Located]>([
    ['IPv4 UDP', v4(udp), { ...found(4, 14, 42), transport: UDP, transportAt: 34 }],
    ['IPv6 UDP', v6(udp), { ...found(6, 14, 62), transport: UDP, transportAt: 54 }],
    ['IPv4 TCP', v4({ protocol: TCP, body: tcp(5, 20) }), { ...found(4, 14, 54), transport: TCP, transportAt: 34 }],
    ['IPv6 TCP', v6({ protocol: TCP, body: tcp(5, 20) }), { ...found(6, 14, 74), transport: TCP, transportAt: 54 }],
    ['IPv4 behind a tag', v4(udp, [0x8100]), { ...found(4, 18, 46), transport: UDP, transportAt: 38 }],
    ['IPv6 behind two tags', v6(udp, [0x88a8, 0x8100]), { ...found(6, 22, 70), transport: UDP, transportAt: 62 }],
    [
      'IPv4 behind three tags',
      v4(udp, [0x8100, 0x88a8, 0x8100]),
      { ...found(4, 26, 54), transport: UDP, transportAt: 46 },
    ],
    ['IPv4 behind four tags', v4(udp, [0x8100, 0x88a8, 0x8100, 0x8100]), NOT_IP],
    ['padding', [...v4(udp), ...zeros(18)], { ...found(4, 14, 42), transport: UDP, transportAt: 34 }],
    [
      'IPv4 options',
      v4({ protocol: UDP, optionWords: 10, body: zeros(48) }),
      { ...found(4, 14, 82), transport: UDP, transportAt: 74 },
    ],
    ['do not fragment', v4({ ...udp, fragment: 0x4000 }), { ...found(4, 14, 42), transport: UDP, transportAt: 34 }],
    ['a first fragment', v4({ ...udp, fragment: 0x2000 }), found(4, 14, 42)],
    ['a middle fragment', v4({ ...udp, fragment: 0x2001 }), found(4, 14, 42)],
    ['a last fragment', v4({ ...udp, fragment: 0x0001 }), found(4, 14, 42)],
    ['a last fragment far behind', v4({ ...udp, fragment: 0x1000 }), found(4, 14, 42)],
    ['ICMP', v4({ protocol: ICMP, body: zeros(8) }), found(4, 14, 42)],
    ['an IPv6 fragment header', v6({ protocol: 44, body: [UDP, ...zeros(15)] }), found(6, 14, 70)],
    ['an IPv6 hop-by-hop header', v6({ protocol: 0, body: [TCP, ...zeros(7), ...tcp(5, 20)] }), found(6, 14, 82)],
    ['an IPv4 header of four words', v4({ ...udp, firstOctet: 0x44 }), NOT_IP],
    ['an IPv4 header longer than the packet', v4({ ...udp, firstOctet: 0x48 }), NOT_IP],
    ['an IPv4 length beyond the frame', v4({ ...udp, totalDelta: 1 }), NOT_IP],
    ['an IPv4 length short of UDP', v4({ ...udp, totalDelta: -1 }), found(4, 14, 41)],
    ['an IPv4 length short of IPv4', v4({ ...udp, totalDelta: -9 }), NOT_IP],
    ['an IPv4 length of zero', v4({ ...udp, totalDelta: -28 }), NOT_IP],
    ['an IPv6 length beyond the frame', v6({ ...udp, totalDelta: 1 }), NOT_IP],
    ['an IPv6 length short of UDP', v6({ ...udp, totalDelta: -1 }), found(6, 14, 61)],
    ['IPv6 in the type of IPv4', etherFrame(4, ipPacket({ version: 6, ...udp })), NOT_IP],
    ['IPv4 in the type of IPv6', etherFrame(6, ipPacket({ version: 4, ...udp, body: zeros(60) })), NOT_IP],
    ['ARP', [...MACS, 0x08, 0x06, ...zeros(46)], NOT_IP],
  ])('%s', (_name, frame, expected) => {
    expect(locate(frame)).toEqual(expected);
    expect(naive(frame)).toEqual(expected);
  });

  it.each(Array.from({ length: 16 }, (_, dataOffset) => dataOffset))(
    'TCP of data offset %i is found from the octet on that makes its header whole',
    (dataOffset) => {
      for (let bytes = 0; bytes <= 64; bytes++) {
        const body = tcp(dataOffset, bytes);
        const isWhole = dataOffset >= 5 && bytes >= dataOffset * 4;
        for (const frame of [
          v4({ protocol: TCP, body }),
          v6({ protocol: TCP, body }),
          [...v4({ protocol: TCP, body }), 0],
        ]) {
          expect(locate(frame).transport, `${bytes} octets`).toBe(isWhole ? TCP : undefined);
        }
      }
    },
  );

  it('a frame cut at any length is no IP, since its length field is beyond the end', () => {
    for (const tags of [[], [0x8100], [0x88a8, 0x8100]]) {
      for (const whole of [
        v4({ protocol: TCP, body: tcp(5, 30) }, tags),
        v6({ protocol: UDP, body: zeros(20) }, tags),
      ]) {
        for (let length = 0; length < whole.length; length++) {
          expect(locate(whole.slice(0, length)), `${length} octets`).toEqual(NOT_IP);
        }
        expect(locate(whole).ipVersion).not.toBe(0);
      }
    }
  });

  it('tcpHeaderBytes counts the words of the data offset and not the bits beside it', () => {
    for (let octet = 0; octet < 256; octet++) {
      const view = new DataView(Uint8Array.from([...zeros(12), octet]).buffer);
      expect(tcpHeaderBytes(view, 0)).toBe(Math.floor(octet / 16) * 4);
    }
  });
});

/** Mostly the first; else the other. */
const usually = <T>(value: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

const extensionHeaders = fc
  .tuple(fc.constantFrom(0, 43, 44, 60), fc.constantFrom(TCP, UDP))
  .map(([protocol, next]) => ({ protocol, extension: [next, ...zeros(7)] }));
const protocols = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(TCP, UDP).map((protocol) => ({ protocol, extension: zeros(0) })) },
  { weight: 1, arbitrary: fc.constantFrom(0, ICMP, 58, 132).map((protocol) => ({ protocol, extension: zeros(0) })) },
  { weight: 1, arbitrary: extensionHeaders },
);
const frames = fc
  .record({
    version: fc.constantFrom<4 | 6>(4, 6),
    tags: fc.array(fc.constantFrom(0x8100, 0x88a8), { maxLength: 3 }),
    next: protocols,
    optionWords: usually(0, fc.nat({ max: 10 })),
    firstOctet: usually(-1, fc.nat({ max: 255 })),
    fragment: usually(0, fc.constantFrom(0x4000, 0x8000, 0x2000, 0x2010, 0x0010, 0x1000)),
    totalDelta: usually(0, fc.integer({ min: -60, max: 60 })),
    dataOffset: usually(5, fc.nat({ max: 15 })),
    payload: fc.oneof(fc.constantFrom(0, 7, 8, 19, 20, 60), fc.nat({ max: 64 })),
    padding: usually(0, fc.nat({ max: 40 })),
    cut: usually(0, fc.nat({ max: 60 })),
  })
  .map(({ version, tags, next, optionWords, firstOctet, fragment, totalDelta, dataOffset, payload, padding, cut }) => {
    const options = version === 4 ? zeros(optionWords * 4) : [];
    const body = [...options, ...next.extension, ...tcp(dataOffset, payload)];
    const packet: Packet = { version, protocol: next.protocol, body, optionWords, fragment, totalDelta };
    const octets = firstOctet < 0 ? ipPacket(packet) : ipPacket({ ...packet, firstOctet });
    const frame = [...etherFrame(version, octets, tags), ...zeros(padding)];
    return frame.slice(0, frame.length - cut);
  });

it('locateHeaders finds in any frame what reading step by step finds', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(frames, (frame) => {
      const expected = naive(frame);
      seen.add(`${expected.ipVersion} ${expected.transport ?? 0}`);
      expect(locate(frame)).toEqual(expected);
    }),
    { numRuns: 3000 },
  );
  // The frames are varied enough to mean something.
  expect(seen).toEqual(new Set(['0 0', '4 0', `4 ${TCP}`, `4 ${UDP}`, '6 0', `6 ${TCP}`, `6 ${UDP}`]));
});

it('random octets never throw and never place a header outside the frame', () => {
  const types = fc.constantFrom(
    [8, 0, 0x45],
    [8, 0, 0x46],
    [0x86, 0xdd, 0x60],
    [0x81, 0, 0, 1, 8, 0, 0x45],
    [0x81, 0],
    [],
  );
  const noise = fc.array(fc.oneof(fc.constantFrom(0, 0, 0, TCP, UDP, 40, 0x50), fc.nat({ max: 255 })), {
    maxLength: 120,
    size: 'max',
  });
  const random = fc.tuple(types, noise).map(([type, rest]) => [...MACS, ...type, ...rest]);
  const damages = fc.array(fc.tuple(fc.nat({ max: 80 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 });
  const damaged = fc
    .tuple(frames, damages)
    .map(([frame, places]) => places.reduce((octets, [at, o]) => octets.map((was, i) => (i === at ? o : was)), frame));
  let located = 0;
  fc.assert(
    fc.property(fc.oneof(random, damaged), (frame) => {
      const { ipVersion, networkAt = 0, networkEnd = 0, transport, transportAt = 0 } = locate(frame);
      if (ipVersion === 0) return;
      const networkBytes = ipVersion === 4 ? 20 : 40;
      expect(networkAt).toBeGreaterThanOrEqual(14);
      expect(networkAt + networkBytes).toBeLessThanOrEqual(networkEnd);
      expect(networkEnd).toBeLessThanOrEqual(frame.length);
      if (transport === undefined) return;
      located++;
      expect(transportAt).toBeGreaterThanOrEqual(networkAt + networkBytes);
      expect(transportAt + (transport === TCP ? 20 : 8)).toBeLessThanOrEqual(networkEnd);
    }),
    { numRuns: 2000 },
  );
  expect(located).toBeGreaterThan(0);
});
