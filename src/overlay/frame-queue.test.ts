/** Frames on their way to TAPs: what is written as one, what never is. The properties are in frame-queue-flows.test.ts. */
import { describe, expect, it } from 'vitest';
import { FORWARDED } from '../forward/drop-reason.ts';
import { DF, FLAG, naiveFrame, type Packet, put16, scrambled, TCP, UDP } from '../offload/naive-frames.ts';
import { framesOf, isSuper, newQueueRig, SEGMENT } from './frame-queue-rig.ts';

const BYTES = 100;
const EINVAL = 22;
const PLAIN = Array<number>(10).fill(0);
const TAG = [0x81, 0, 0, 5];
const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];

/** Packet `i` of a flow. */
const nth = (packet: Omit<Packet, 'payload'>, i: number, changes: Partial<Packet> = {}) =>
  naiveFrame({ payload: scrambled(BYTES, i), sequence: 5_000 + i * BYTES, id: 70 + i, ...packet, ...changes });

const runOf = (packet: Omit<Packet, 'payload'>, count: number) =>
  Array.from({ length: count }, (_, i) => nth(packet, i));

const tcp4 = { version: 4, protocol: TCP } as const;
const tcp6 = { version: 6, protocol: TCP } as const;
const udp4 = { version: 4, protocol: UDP } as const;
const udp6 = { version: 6, protocol: UDP } as const;
const octetsOf = (frames: readonly { readonly octets: number[] }[]) => frames.map(({ octets }) => octets);

describe('a run', () => {
  it.each<[string, Omit<Packet, 'payload'>, number[]]>([
    ['TCP over IPv4', tcp4, [1, 1, 54, 0, BYTES, 0, 34, 0, 16, 0]],
    ['TCP over IPv6', tcp6, [1, 4, 74, 0, BYTES, 0, 54, 0, 16, 0]],
    ['UDP over IPv4', udp4, [1, 5, 42, 0, BYTES, 0, 34, 0, 6, 0]],
    ['UDP over IPv6', udp6, [1, 5, 62, 0, BYTES, 0, 54, 0, 6, 0]],
    ['IPv4 that may be fragmented, of ids that count up', { ...udp4, fragment: 0 }, [1, 5, 42, 0, 100, 0, 34, 0, 6, 0]],
    ['TCP with timestamps', { ...tcp4, tcpOptions: TIMESTAMPS }, [1, 1, 66, 0, BYTES, 0, 34, 0, 16, 0]],
    ['TCP behind a tag', { ...tcp4, tags: TAG }, [1, 1, 58, 0, BYTES, 0, 38, 0, 16, 0]],
    ['UDP behind two', { ...udp6, tags: [...TAG, ...TAG] }, [1, 5, 70, 0, BYTES, 0, 62, 0, 6, 0]],
  ])('of %s is one super-frame that is cut into what came', (_what, packet, vnetHeader) => {
    const { deliver, queue, written, counters, isUntouched } = newQueueRig();
    const frames = runOf(packet, 5);
    deliver(frames);
    expect(written).toEqual([]);
    queue.flush();
    expect(written.map((each) => each.vnetHeader)).toEqual([vnetHeader]);
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
    const bytes = frames.reduce((sum, { octets }) => sum + octets.length, 0);
    expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes, packets: 5 }]);
    expect(isUntouched()).toBe(true);
  });

  it('of one frame is that frame, as it came', () => {
    const { deliver, queue, written } = newQueueRig();
    deliver([nth(tcp4, 0)]);
    queue.flush();
    queue.flush();
    expect(written).toEqual([{ tap: SEGMENT.tap, vnetHeader: PLAIN, octets: nth(tcp4, 0).octets }]);
  });

  it.each([
    ['a push', { flags: FLAG.ack | FLAG.psh }],
    ['a shorter frame', { payload: scrambled(BYTES - 1) }],
  ])('ends with %s', (_what, changes) => {
    const { deliver, queue, written } = newQueueRig();
    const last = nth(tcp4, 2, changes);
    const next = 5_000 + 2 * BYTES + last.octets.length - last.payloadAt;
    const frames = [nth(tcp4, 0), nth(tcp4, 1), last, nth(tcp4, 3, { sequence: next })];
    deliver(frames);
    queue.flush();
    expect(written.map((each) => framesOf(each).length)).toEqual([3, 1]);
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
  });

  it('has 64 frames at most', () => {
    const { deliver, queue, written } = newQueueRig();
    const frames = runOf(tcp6, 130);
    deliver(frames);
    queue.flush();
    expect(written.map((each) => framesOf(each).length)).toEqual([64, 64, 2]);
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
  });

  it.each([
    [1_448, [45, 15]],
    [32_740, [2, 2, 2]],
    [32_741, [1, 1, 1, 1, 1, 1]],
  ])('of segments of %i octets has 65,535 octets at most', (length, counts) => {
    const { deliver, queue, written } = newQueueRig();
    const count = counts.reduce((sum, each) => sum + each);
    const frames = Array.from({ length: count }, (_, i) =>
      nth(tcp4, i, { payload: scrambled(length, i), sequence: i * length }),
    );
    deliver(frames);
    queue.flush();
    expect(written.map((each) => framesOf(each).length)).toEqual(counts);
    for (const { octets } of written) expect(octets.length).toBeLessThanOrEqual(65_535);
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
  });

  it('goes on across the wrap of sequence numbers and IPv4 ids', () => {
    const { deliver, queue, written } = newQueueRig();
    const frames = [0, 1, 2, 3].map((i) =>
      nth({ ...tcp4, fragment: 0 }, i, {
        sequence: (2 ** 32 - 150 + i * BYTES) % 2 ** 32,
        id: (0xffff + i) % 0x1_0000,
      }),
    );
    deliver(frames);
    queue.flush();
    expect(written).toHaveLength(1);
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
  });

  it('is of UDP only where the TAP takes that', () => {
    const { deliver, queue, written } = newQueueRig({ takesUdpRuns: false });
    deliver([...runOf(udp4, 2), ...runOf(tcp4, 2)]);
    queue.flush();
    expect(written.map(isSuper)).toEqual([false, false, true]);
  });

  it('is none where merging is off', () => {
    const { deliver, written } = newQueueRig({ isOn: false });
    deliver(runOf(tcp4, 3));
    expect(written).toEqual(runOf(tcp4, 3).map(({ octets }) => ({ tap: SEGMENT.tap, vnetHeader: PLAIN, octets })));
  });

  it('regenerates the ids of packets that may not be fragmented, which mean nothing', () => {
    const { deliver, queue, written } = newQueueRig();
    deliver([nth(udp4, 0, { id: 9 }), nth(udp4, 1, { id: 5 }), nth(udp4, 2, { id: 9 })]);
    queue.flush();
    expect(written.flatMap(framesOf)).toEqual([9, 10, 11].map((id, i) => nth(udp4, i, { id }).octets));
  });
});

describe('a UDP super-frame of a kernel peer', () => {
  const SUPER = [
    ['IPv4', udp4, SEGMENT],
    ['IPv6', udp6, SEGMENT],
    ['IPv4 behind a tag', { ...udp4, tags: TAG }, SEGMENT],
    ['IPv6 on a trunk', udp6, { ...SEGMENT, vlan: 5 }],
  ] as const;

  it.each(SUPER)('of %s goes whole to a TAP that takes it, and cut to one that does not', (_what, packet, segment) => {
    const whole = naiveFrame({ ...packet, payload: scrambled(4 * BYTES + 1), id: 0xfffe, checksum: 'partial' });
    const deliveredTo = (takesUdpRuns: boolean) => {
      const { deliver, written, counters } = newQueueRig({ takesUdpRuns });
      deliver([whole], { of: segment, segmentBytes: BYTES });
      expect(counters.passed).toEqual([{ segment: segment.index, bytes: whole.octets.length, packets: 1 }]);
      return written;
    };
    const [taken, cut] = [deliveredTo(true), deliveredTo(false)];
    expect(taken.map(isSuper)).toEqual([true]);
    expect(cut.map(({ vnetHeader }) => vnetHeader)).toEqual(Array(5).fill(PLAIN));
    expect(octetsOf(cut)).toEqual(taken.flatMap(framesOf));
  });

  it('is dropped once where one of its datagrams was', () => {
    let writes = 0;
    const verdict = () => (++writes === 3 ? EINVAL : FORWARDED);
    const { deliver, drops, counters, written } = newQueueRig({ takesUdpRuns: false, verdict });
    const whole = naiveFrame({ ...udp4, payload: scrambled(4 * BYTES + 1), checksum: 'partial' });
    deliver([whole], { segmentBytes: BYTES });
    expect([written.length, counters.passed, drops()]).toEqual([4, [], { oversize: 1 }]);
  });
});

describe('never merged', () => {
  const rows: [string, Omit<Packet, 'payload'>, Partial<Packet>][] = [
    ['another TOS', tcp4, { tos: 0xb8 }],
    ['congestion met', udp4, { tos: 3 }],
    ['another traffic class', tcp6, { tos: 4 }],
    ['another TTL', tcp4, { ttl: 63 }],
    ['another hop limit', udp6, { ttl: 63 }],
    ['no DF', tcp4, { fragment: 0 }],
    ['the reserved bit', tcp4, { fragment: 0xc000 }],
    ['another flow label', tcp6, { flowLabel: 0xf_ffff }],
    ['another acknowledgement', tcp4, { acknowledgement: 1 }],
    ['another window', tcp4, { window: 501 }],
    ['an urgent pointer', tcp4, { urgent: 1 }],
    ['more options', tcp4, { tcpOptions: TIMESTAMPS }],
    ['other options', { ...tcp4, tcpOptions: TIMESTAMPS }, { tcpOptions: [...TIMESTAMPS.slice(0, 11), 9] }],
    ['the sequence before', tcp4, { sequence: 5_000 }],
    ['a gap in the sequence', tcp4, { sequence: 5_000 + BYTES + 1 }],
    ['an overlap in the sequence', tcp6, { sequence: 5_000 + BYTES - 1 }],
    ['a gap in the ids', { ...udp4, fragment: 0 }, { id: 72 }],
    ['an id again', { ...tcp4, fragment: 0 }, { id: 70 }],
    ['a longer payload', tcp4, { payload: scrambled(BYTES + 1) }],
    ['no payload', tcp4, { payload: [] }],
    ['no UDP payload', udp6, { payload: [] }],
    ...(['fin', 'syn', 'rst', 'urg', 'ece', 'cwr', 'ns'] as const).map(
      (flag): [string, Omit<Packet, 'payload'>, Partial<Packet>] => [
        `the flag ${flag}`,
        tcp4,
        { flags: 0x10 | FLAG[flag] },
      ],
    ),
    ['no ACK', tcp4, { flags: 0 }],
    ['no UDP checksum', udp4, { checksum: 'none' }],
    ['IP options', udp4, { ipOptions: [1, 1, 1, 0] }],
    ['padding', tcp4, { padding: 1 }],
    ['padding behind IPv6', udp6, { padding: 6 }],
    ['an extension header', tcp6, { extensionUnits: 1 }],
    ['a first fragment', udp4, { fragment: 0x2000 }],
    ['a later fragment', udp4, { fragment: 0x0010 }],
    ['a wrong TCP checksum', tcp4, { checksum: 'wrong' }],
    ['a wrong UDP checksum', udp6, { checksum: 'wrong' }],
    ['another port', tcp4, { sourcePort: 1 }],
    ['another address', udp4, { host: 2 }],
    ['another address over IPv6', udp6, { host: 2 }],
    ['another station', tcp6, { station: 2 }],
    ['another tag', { ...tcp4, tags: TAG }, { tags: [0x81, 0, 0, 6] }],
    ['no tag', { ...tcp4, tags: TAG }, { tags: [] }],
    ['three tags', tcp4, { tags: [...TAG, ...TAG, ...TAG] }],
  ];

  it.each(rows)('%s: frames come out as they came, in order', (_what, packet, changes) => {
    const [first, second] = [nth(packet, 0), nth(packet, 1, changes)];
    for (const frames of [
      [first, second],
      [second, first],
    ]) {
      const { deliver, queue, written, isUntouched } = newQueueRig();
      deliver(frames);
      queue.flush();
      expect(written.map((each) => each.vnetHeader)).toEqual([PLAIN, PLAIN]);
      expect(octetsOf(written)).toEqual(octetsOf(frames));
      expect(isUntouched()).toBe(true);
    }
  });

  it.each([tcp4, tcp6, udp4, udp6])('a wrong checksum anywhere in a run: IPv$version, protocol $protocol', (packet) => {
    for (let wrong = 0; wrong < 4; wrong++) {
      const { deliver, queue, written } = newQueueRig();
      const frames = [0, 1, 2, 3].map((i) => nth(packet, i, i === wrong ? { checksum: 'wrong' } : {}));
      deliver(frames);
      queue.flush();
      expect(written.flatMap(framesOf), `frame ${wrong}`).toEqual(octetsOf(frames));
      const alone = written.filter((each) => !isSuper(each)).map(({ octets }) => octets);
      expect(alone, `frame ${wrong}`).toContainEqual(frames[wrong]?.octets);
    }
  });

  it.each([0, 1, 2])('a wrong IPv4 header checksum, at place %i', (wrong) => {
    const { deliver, queue, written } = newQueueRig();
    const frames = runOf(udp4, 3);
    put16(frames[wrong]?.octets ?? [], 24, 0x1234);
    deliver(frames);
    queue.flush();
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
    expect(octetsOf(written)).toContainEqual(frames[wrong]?.octets);
  });

  it('a UDP length that is not the packet’s', () => {
    const { deliver, queue, written } = newQueueRig();
    const frames = runOf(udp4, 2);
    for (const { octets } of frames) put16(octets, 38, 107);
    deliver(frames);
    queue.flush();
    expect(octetsOf(written)).toEqual(octetsOf(frames));
  });

  it('different TAPs, though all else is the same', () => {
    const { deliver, queue, written, counters } = newQueueRig();
    const other = { ...SEGMENT, index: 4, tap: 8 };
    for (let i = 0; i < 3; i++) {
      deliver([nth(tcp4, i)]);
      deliver([nth(tcp4, i)], { of: other });
    }
    queue.flush();
    expect(written.map((each) => [each.tap, framesOf(each).length])).toEqual([
      [SEGMENT.tap, 3],
      [other.tap, 3],
    ]);
    expect([counters.packets(SEGMENT.index), counters.packets(other.index)]).toEqual([3, 3]);
  });

  it.each([tcp4, tcp6, udp4, udp6])('unfinished checksums: IPv$version, protocol $protocol', (packet) => {
    const { deliver, written } = newQueueRig();
    const frames = [0, 1, 2].map((i) => nth(packet, i, { checksum: 'partial' }));
    deliver(frames);
    const start = packet.version === 4 ? 34 : 54;
    const vnetHeader = [1, 0, 0, 0, 0, 0, start, 0, packet.protocol === TCP ? 16 : 6, 0];
    expect(written).toEqual(frames.map(({ octets }) => ({ tap: SEGMENT.tap, vnetHeader, octets })));
  });
});

describe('order', () => {
  it('is kept between frames of a flow that are merged and those that are not', () => {
    const { deliver, queue, written } = newQueueRig();
    const changes: Partial<Packet>[] = [
      {},
      {},
      { payload: [] },
      {},
      { checksum: 'partial' },
      {},
      { ipOptions: [1, 1, 1, 0] },
      {},
    ];
    const frames = changes.map((each, i) => nth(tcp4, i, each));
    deliver(frames);
    queue.flush();
    expect(written.flatMap(framesOf)).toEqual(octetsOf(frames));
  });

  it('is that of arrival where a packet may be of any flow', () => {
    const { deliver, written } = newQueueRig();
    const fragment = nth(udp4, 9, { fragment: DF >> 1 });
    deliver([nth(tcp4, 0), nth(udp4, 0), nth(tcp4, 1), fragment]);
    expect(written.map((each) => framesOf(each).length)).toEqual([2, 1, 1]);
    expect(written.at(-1)?.octets).toEqual(fragment.octets);
  });
});

it('a kernel peer’s super-frame goes through with the size of its segments, unmerged', () => {
  const { deliver, written, counters } = newQueueRig();
  const frame = naiveFrame({ ...udp4, payload: scrambled(5_000), checksum: 'partial' });
  deliver([frame], { segmentBytes: 1_000 });
  expect(written.map((each) => each.vnetHeader)).toEqual([[1, 5, 42, 0, 0xe8, 3, 34, 0, 6, 0]]);
  expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes: 5_042, packets: 1 }]);
});
