/** Underlay to overlay, through the whole of forwardDatagrams on ports in memory: what is delivered, learned, and counted as dropped. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fdb, type SourceAddress, UNKNOWN } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { Counters, NO_SEGMENT } from '../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { MemoryTapPort } from '../overlay/memory-tap-port.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import { SegmentMap } from '../segment/segment-map.ts';
import { Slab } from '../sys/slab.ts';
import { MemoryUdpPort } from '../underlay/memory-udp-port.ts';
import { newFrameHeaders } from '../wire/ip.ts';
import { forwardDatagrams, setIpv4Source } from './loop.ts';

const NOW = 1_000;
const AGEING_SECONDS = 30;
const [OWN, PEER, OTHER_PEER] = ipWords('198.18.0.1', '198.18.0.2', '198.18.0.3');
const [UNICAST_SOCKET, GROUP_SOCKET, OTHER_GROUP_SOCKET] = [0, 5, 6];

const STATION = '020000000001';
const DESTINATION = '020000000002';
const TAP_MAC = 'fe0000000009';
const BROADCAST = 'ffffffffffff';
const PAYLOAD = Buffer.from('88b5 66726f6d2061667261722e2e'.replaceAll(' ', ''), 'hex');

const SEGMENT: Segment = {
  index: 3,
  vni: 0x00_1234,
  underlay: 0,
  group: GROUP_SOCKET,
  groupAddress: ipWords('239.1.1.1')[0] as number,
  floodRemotes: [],
  tap: 7,
  tapUp: true,
  tapMtuBytes: 1_450,
  tapMacHigh: 0xfe00_0000,
  tapMacLow: 9,
  maxFrameBytes: 1_464,
  learning: true,
  maxMacs: 100,
  innerVlan: INNER_VLAN.drop,
};

function ipWords(...texts: string[]): number[] {
  return texts.map((text) => Buffer.from(text.split('.').map(Number)).readInt32BE(0));
}

function frame({ dst = DESTINATION, src = STATION, tags = '', rest = PAYLOAD } = {}): Buffer {
  return Buffer.concat([Buffer.from(dst + src + tags, 'hex'), rest]);
}

function datagram(inner: Buffer, { vni = SEGMENT.vni, flags = 0x08, reserved24 = 0, reserved8 = 0 } = {}): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(flags, 0);
  header.writeUIntBE(reserved24, 1, 3);
  header.writeUIntBE(vni, 4, 3);
  header.writeUInt8(reserved8, 7);
  return Buffer.concat([header, inner]);
}

/** Counters that also tell packets and bytes. */
class ReadableCounters extends Counters {
  readonly passed: { readonly segment: number; readonly bytes: number }[] = [];

  override received(segment: number, bytes: number): void {
    super.received(segment, bytes);
    this.passed.push({ segment, bytes });
  }
}

function newWorker(segments: readonly Segment[] = [SEGMENT], { dropReservedBits = false } = {}) {
  const slab = new Slab(1_048_576);
  const fdb = new Fdb(createFdbMemory(1, AGEING_SECONDS), 1);
  const taps = new MemoryTapPort(slab);
  const underlay = new MemoryUdpPort(slab, fdb.remotes);
  const counters = new ReadableCounters(Counters.createMemory());
  const map = new SegmentMap();
  for (const segment of segments) map.apply({ kind: 'put', segment });
  underlay.addSocket(UNICAST_SOCKET, NO_GROUP);
  for (const socket of [GROUP_SOCKET, OTHER_GROUP_SOCKET]) underlay.addSocket(socket, socket);
  const headers = newFrameHeaders();
  const receivePath = {
    view: slab.view,
    segments: map,
    fdb,
    taps,
    headers,
    source: { a: 0, b: 0, c: 0, d: 0 },
    isOwnAddress: ({ d }: SourceAddress) => d === OWN,
    dropReservedBits,
    segment: undefined,
  };
  const ports = {
    taps,
    underlay,
    segments: map,
    counters,
    receivePath,
    sendPath: { view: slab.view, fdb, underlay, headers },
  };
  const receive = (payload: Uint8Array, { source = PEER as number, socket = UNICAST_SOCKET, now = NOW } = {}) => {
    underlay.inject(socket, source, payload);
    forwardDatagrams(ports, socket, now);
  };
  /** Which VTEP a MAC is at. */
  const whereIs = (mac: string, { segment = SEGMENT.index, now = NOW } = {}) => {
    const remote = fdb.lookup(segment, Number.parseInt(mac.slice(0, 8), 16), Number.parseInt(mac.slice(8), 16), now);
    return remote === UNKNOWN || remote === LOCAL ? remote : fdb.remotes.word(remote, 3);
  };
  const addStatic = (mac: string, address: number) => {
    const source = { a: 0, b: 0, c: 0, d: 0 };
    setIpv4Source(source, address);
    const [high, low] = [Number.parseInt(mac.slice(0, 8), 16), Number.parseInt(mac.slice(8), 16)];
    fdb.addStatic(SEGMENT.index, high, low, source, NOW);
  };
  /** All drops, by segment and reason. */
  const drops = () => {
    const found: Record<string, number> = {};
    for (const segment of [NO_SEGMENT, ...segments.map(({ index }) => index)]) {
      const { rx, tx } = counters.drops(segment);
      for (const [i, count] of rx.entries()) if (count > 0) found[`${segment} ${RX_REASONS[i]}`] = count;
      for (const [i, count] of tx.entries()) if (count > 0) found[`${segment} tx ${TX_REASONS[i]}`] = count;
    }
    return found;
  };
  return { ports, fdb, taps, underlay, counters, receive, whereIs, addStatic, drops };
}

describe('a frame for the TAP', () => {
  it('is delivered as it came, behind an empty vnet header, counted, and teaches where its sender is', () => {
    const { receive, taps, counters, whereIs, drops } = newWorker();
    const inner = frame();
    receive(datagram(inner));
    expect(taps.delivered).toEqual([
      { tap: SEGMENT.tap, vnetHeader: new Uint8Array(10), frame: new Uint8Array(inner) },
    ]);
    expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes: inner.length }]);
    expect(whereIs(STATION)).toBe(PEER);
    expect(drops()).toEqual({});
  });

  it.each([
    ['unicast', UNICAST_SOCKET],
    ['the segment’s own group', GROUP_SOCKET],
  ])('may come by %s', (_, socket) => {
    const { receive, taps } = newWorker();
    receive(datagram(frame()), { socket });
    expect(taps.delivered).toHaveLength(1);
  });

  it.each([DESTINATION, BROADCAST, '01005e010101', '0180c2000010', TAP_MAC])('may be for %s', (dst) => {
    const { receive, taps } = newWorker();
    receive(datagram(frame({ dst })));
    expect(taps.delivered).toHaveLength(1);
  });

  it('may be the shortest there is, or longer than the TAP’s MTU', () => {
    const { receive, taps } = newWorker();
    const shortest = frame({ rest: Buffer.from('88b5', 'hex') });
    const long = frame({ rest: Buffer.alloc(2_000 - 12, 0x88) });
    receive(datagram(shortest));
    receive(datagram(long));
    expect(taps.delivered.map(({ frame: { length } }) => length)).toEqual([14, 2_000]);
  });

  it('never goes back to the underlay, whatever its destination (split horizon)', () => {
    const { receive, underlay, addStatic, taps } = newWorker([{ ...SEGMENT, floodRemotes: [1] }]);
    addStatic(DESTINATION, OTHER_PEER as number);
    for (const dst of [DESTINATION, BROADCAST, '020000000099']) receive(datagram(frame({ dst })));
    underlay.flush();
    expect(taps.delivered).toHaveLength(3);
    expect(underlay.sent).toEqual([]);
  });

  it('comes in batches, of which none is lost or forwarded twice', () => {
    const { ports, underlay, taps } = newWorker();
    const frames = Array.from({ length: 70 }, (_, i) => frame({ rest: Buffer.from([0x88, 0xb5, i]) }));
    for (const inner of frames) underlay.inject(UNICAST_SOCKET, PEER as number, datagram(inner));
    for (let batch = 0; batch < 4; batch++) forwardDatagrams(ports, UNICAST_SOCKET, NOW);
    expect(taps.delivered.map((each) => each.frame)).toEqual(frames.map((inner) => new Uint8Array(inner)));
  });

  it('is one of its VNI only: the same MAC in two VNIs is two MACs (T15)', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8, group: OTHER_GROUP_SOCKET };
    const { receive, taps, whereIs } = newWorker([SEGMENT, other]);
    receive(datagram(frame()));
    receive(datagram(frame(), { vni: other.vni }), { source: OTHER_PEER as number });
    expect(taps.delivered.map(({ tap }) => tap)).toEqual([SEGMENT.tap, other.tap]);
    expect(whereIs(STATION)).toBe(PEER);
    expect(whereIs(STATION, { segment: other.index })).toBe(OTHER_PEER);
  });

  it.each([0, 1, 0xab_cdef, 0xff_ffff])('is found by VNI %i', (vni) => {
    const { receive, taps } = newWorker([{ ...SEGMENT, vni }]);
    receive(datagram(frame(), { vni }));
    expect(taps.delivered).toHaveLength(1);
  });

  it('with an unfinished UDP checksum is described so to the TAP', () => {
    const { receive, taps } = newWorker();
    // 192.0.2.1:7 to 192.0.2.2:7, four octets; the checksum field holds the pseudo-header's sum.
    const packet = Buffer.from(
      '4500002000000000401100 00c0000201c0000202 0007 0007 000c 0000 61626364'.replaceAll(' ', ''),
      'hex',
    );
    packet.writeUInt16BE(0xc000 + 0x0201 + 0xc000 + 0x0202 + 17 + 12 - 0x1_0000 + 1, 26);
    receive(datagram(frame({ rest: Buffer.concat([Buffer.from('0800', 'hex'), packet]) })));
    const { vnetHeader } = taps.delivered[0] as { vnetHeader: Uint8Array };
    // NEEDS_CSUM, no GSO, from octet 34 of the frame on, at 6.
    expect([...vnetHeader]).toEqual([1, 0, 0, 0, 0, 0, 34, 0, 6, 0]);
  });
});

describe('learning', () => {
  it('moves a MAC to the VTEP that it was heard from last (T8)', () => {
    const { receive, whereIs, fdb } = newWorker();
    receive(datagram(frame()));
    receive(datagram(frame()), { source: OTHER_PEER as number });
    expect(whereIs(STATION)).toBe(OTHER_PEER);
    expect([fdb.count, fdb.movesOf(SEGMENT.index)]).toEqual([1, 1]);
  });

  it('keeps a MAC young by what is received (T6)', () => {
    const { receive, whereIs } = newWorker();
    receive(datagram(frame()));
    receive(datagram(frame()), { now: NOW + 299 });
    expect(whereIs(STATION, { now: NOW + 598 })).toBe(PEER);
    expect(whereIs(STATION, { now: NOW + 599 })).toBe(UNKNOWN);
  });

  it('does not take place where it is off, and a static entry then holds nothing up (T7)', () => {
    const { receive, taps, fdb, addStatic, whereIs } = newWorker([{ ...SEGMENT, learning: false }]);
    receive(datagram(frame()));
    expect(fdb.count).toBe(0);
    addStatic(STATION, OTHER_PEER as number);
    receive(datagram(frame()));
    expect(taps.delivered).toHaveLength(2);
    expect(whereIs(STATION)).toBe(OTHER_PEER);
  });

  it('ends at the limit, and frames are still forwarded (T28)', () => {
    const { receive, taps, fdb } = newWorker([{ ...SEGMENT, maxMacs: 8 }]);
    for (let i = 0; i < 16; i++) receive(datagram(frame({ src: `0200000001${i.toString(16).padStart(2, '0')}` })));
    expect([taps.delivered.length, fdb.countOf(SEGMENT.index)]).toEqual([16, 8]);
  });

  it('takes a frame from where the static entry says', () => {
    const { receive, taps, addStatic, drops } = newWorker();
    addStatic(STATION, PEER as number);
    receive(datagram(frame()));
    expect([taps.delivered.length, drops()]).toEqual([1, {}]);
  });
});

/** What is wrong with a datagram, its sender or the segment; all but `reason` add to one another. */
interface Fault {
  readonly reason: (typeof RX_REASONS)[number];
  readonly header?: Parameters<typeof datagram>[1];
  readonly inner?: Parameters<typeof frame>[0];
  readonly segment?: Partial<Segment>;
  readonly where?: { readonly source?: number; readonly socket?: number };
  readonly isPinnedElsewhere?: boolean;
  /** Octets that are left of the UDP payload. */
  readonly cutTo?: number;
}

/** In the order of the contract. */
const FAULTS: readonly Fault[] = [
  { reason: 'short', cutTo: 7 },
  { reason: 'own-packet', where: { source: OWN as number } },
  { reason: 'no-i-flag', header: { flags: 0xf7 } },
  { reason: 'reserved-bits', header: { reserved8: 1 } },
  { reason: 'unknown-vni', header: { vni: SEGMENT.vni + 1 } },
  { reason: 'wrong-group', where: { socket: OTHER_GROUP_SOCKET } },
  { reason: 'short-inner', cutTo: 8 + 13 },
  { reason: 'bad-source-mac', inner: { src: '030000000001' } },
  { reason: 'own-mac', inner: { src: TAP_MAC } },
  { reason: 'link-local', inner: { dst: '0180c200000e' } },
  { reason: 'inner-vlan', inner: { tags: '81000005' } },
  { reason: 'static-conflict', isPinnedElsewhere: true },
  { reason: 'tap-down', segment: { tapUp: false } },
];

/** Runs one datagram with all these faults through a worker that drops reserved bits. Faults named first win where two exclude each other. */
function receiveWith(faults: readonly Fault[]) {
  const merge = <Key extends 'header' | 'inner' | 'segment' | 'where'>(key: Key) =>
    Object.assign({}, ...faults.map((fault) => fault[key]).reverse()) as NonNullable<Fault[Key]>;
  const worker = newWorker([{ ...SEGMENT, ...merge('segment') }], { dropReservedBits: true });
  const inner = merge('inner');
  if (faults.some(({ isPinnedElsewhere }) => isPinnedElsewhere)) {
    worker.addStatic(inner?.src ?? STATION, OTHER_PEER as number);
  }
  const before = worker.fdb.count;
  const whole = datagram(frame(inner), merge('header'));
  const cutTo = Math.min(whole.length, ...faults.flatMap((fault) => fault.cutTo ?? []));
  worker.receive(whole.subarray(0, cutTo), merge('where'));
  return { ...worker, learned: worker.fdb.count - before };
}

const NO_SEGMENT_KNOWN = RX_REASONS.indexOf('unknown-vni');
const segmentOf = (reason: Fault['reason']) =>
  RX_REASONS.indexOf(reason) <= NO_SEGMENT_KNOWN ? NO_SEGMENT : SEGMENT.index;

const PAIRS = FAULTS.flatMap((first, i) => FAULTS.slice(i + 1).map((second) => [first, second] as const));

describe('a drop', () => {
  it('is none without a fault: what the rows below have in common is delivered', () => {
    const { taps, drops } = receiveWith([]);
    expect([taps.delivered.length, drops()]).toEqual([1, {}]);
  });

  it.each(FAULTS.map((fault) => [fault.reason, fault] as const))(
    'is counted once as %s, delivers nothing and teaches nothing',
    (reason, fault) => {
      const { taps, drops, learned, counters, underlay } = receiveWith([fault]);
      expect(drops()).toEqual({ [`${segmentOf(reason)} ${reason}`]: 1 });
      expect([taps.delivered, counters.passed, underlay.sent, learned]).toEqual([[], [], [], 0]);
    },
  );

  it.each(
    // A source MAC is either of a group or the TAP's.
    PAIRS.filter(([first, second]) => !(first.reason === 'bad-source-mac' && second.reason === 'own-mac')).map(
      ([first, second]) => [first.reason, second.reason, [first, second]] as const,
    ),
  )('for %s comes before one for %s', (reason, _, faults) => {
    const { taps, drops, learned } = receiveWith(faults);
    expect(drops()).toEqual({ [`${segmentOf(reason)} ${reason}`]: 1 });
    expect([taps.delivered.length, learned]).toEqual([0, 0]);
  });

  it.each(Array.from({ length: 8 }, (_, length) => length))('is for short with %i octets (T12)', (length) => {
    const { receive, drops } = newWorker();
    receive(datagram(frame()).subarray(0, length));
    expect(drops()).toEqual({ [`${NO_SEGMENT} short`]: 1 });
  });

  it.each(Array.from({ length: 14 }, (_, length) => length))('is for short-inner with %i octets of frame', (length) => {
    const { receive, drops } = newWorker();
    receive(datagram(frame()).subarray(0, 8 + length));
    expect(drops()).toEqual({ [`${SEGMENT.index} short-inner`]: 1 });
  });

  it.each([0x00, 0xf7])('is for no-i-flag with flags %i (T10)', (flags) => {
    const { receive, drops } = newWorker();
    receive(datagram(frame(), { flags }));
    expect(drops()).toEqual({ [`${NO_SEGMENT} no-i-flag`]: 1 });
  });

  it.each(['010000000001', '000000000000', BROADCAST, '01005e000001'])(
    'is for bad-source-mac from %s, and a broadcast still goes to the group (T13)',
    (src) => {
      const { receive, drops, fdb } = newWorker();
      receive(datagram(frame({ src })));
      expect(drops()).toEqual({ [`${SEGMENT.index} bad-source-mac`]: 1 });
      expect(fdb.count).toBe(0);
    },
  );

  it.each(['000000000100', '000000010000', '020000000000'])('is none for the unusual source %s', (src) => {
    const { receive, taps } = newWorker();
    receive(datagram(frame({ src })));
    expect(taps.delivered).toHaveLength(1);
  });

  it('is for link-local to 01:80:c2:00:00:00 to :0f, not to :10 or a neighbour of the prefix', () => {
    const { receive, drops, taps } = newWorker();
    for (let last = 0; last <= 0x0f; last++) {
      receive(datagram(frame({ dst: `0180c20000${last.toString(16).padStart(2, '0')}` })));
    }
    expect(drops()).toEqual({ [`${SEGMENT.index} link-local`]: 16 });
    for (const dst of ['0180c2000010', '0180c20000ff', '0180c2000100', '0180c3000000'])
      receive(datagram(frame({ dst })));
    expect(taps.delivered).toHaveLength(4);
  });

  it('is for own-mac by all six octets of the TAP’s MAC', () => {
    const { receive, taps, drops } = newWorker();
    for (const src of ['fe0000000008', 'fe0000000109', 'fe0000010009', '020000000009'])
      receive(datagram(frame({ src })));
    expect([taps.delivered.length, drops()]).toEqual([4, {}]);
  });

  it('is for wrong-group by a group, of a segment that has none', () => {
    const { receive, drops } = newWorker([{ ...SEGMENT, group: NO_GROUP }]);
    receive(datagram(frame()), { socket: GROUP_SOCKET });
    expect(drops()).toEqual({ [`${SEGMENT.index} wrong-group`]: 1 });
  });

  it('of an own packet looks at the outer source alone', () => {
    const { receive, drops } = newWorker();
    receive(datagram(frame({ src: '020000000077' })), { source: OWN as number, socket: GROUP_SOCKET });
    expect(drops()).toEqual({ [`${NO_SEGMENT} own-packet`]: 1 });
  });

  it('at a TAP that is down is no conflict where learning is off', () => {
    const { receive, addStatic, drops } = newWorker([{ ...SEGMENT, learning: false, tapUp: false }]);
    addStatic(STATION, OTHER_PEER as number);
    receive(datagram(frame()));
    expect(drops()).toEqual({ [`${SEGMENT.index} tap-down`]: 1 });
  });
});

describe('the 39 reserved bits, each alone (T11)', () => {
  const headers = [
    ...[0, 1, 2, 3, 5, 6, 7].map((bit) => ({ flags: 0x08 | (0x80 >> bit) })),
    ...Array.from({ length: 24 }, (_, bit) => ({ reserved24: 1 << bit })),
    ...Array.from({ length: 8 }, (_, bit) => ({ reserved8: 1 << bit })),
  ];

  it('are ignored, as the RFC says', () => {
    const { receive, taps, drops } = newWorker();
    for (const header of headers) receive(datagram(frame(), header));
    expect([taps.delivered.length, drops()]).toEqual([39, {}]);
  });

  it('are counted drops where that was asked for; without any the frame passes', () => {
    const { receive, taps, drops } = newWorker([SEGMENT], { dropReservedBits: true });
    for (const header of headers) receive(datagram(frame(), header));
    expect(drops()).toEqual({ [`${NO_SEGMENT} reserved-bits`]: 39 });
    receive(datagram(frame()));
    expect(taps.delivered).toHaveLength(1);
  });
});

describe('inner VLAN tags (T32)', () => {
  const rows: readonly [tags: string, isVlan: boolean][] = [
    ['81000005', true],
    ['8100e005', true],
    ['88a80005', true],
    ['88a8000581000006', true],
    // A priority tag alone counts as untagged, one in front of a VLAN does not hide it.
    ['81000000', false],
    ['8100e000', false],
    ['88a8000081000000', false],
    ['88a8000081000006', true],
    ['8100000081000fff', true],
  ];

  it.each(rows)('%s with inner-vlan=drop: a VLAN %s', (tags, isVlan) => {
    const { receive, taps, drops } = newWorker();
    receive(datagram(frame({ tags })));
    expect(drops()).toEqual(isVlan ? { [`${SEGMENT.index} inner-vlan`]: 1 } : {});
    expect(taps.delivered.map((each) => each.frame)).toEqual(isVlan ? [] : [new Uint8Array(frame({ tags }))]);
  });

  it.each(rows)('%s with inner-vlan=strip: all tags go', (tags) => {
    const { receive, taps, counters } = newWorker([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
    receive(datagram(frame({ tags })));
    expect(taps.delivered).toEqual([
      { tap: SEGMENT.tap, vnetHeader: new Uint8Array(10), frame: new Uint8Array(frame()) },
    ]);
    expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes: frame({ tags }).length }]);
  });

  it.each(rows)('%s with inner-vlan=pass: stays', (tags) => {
    const { receive, taps, whereIs } = newWorker([{ ...SEGMENT, innerVlan: INNER_VLAN.pass }]);
    receive(datagram(frame({ tags })));
    expect(taps.delivered.map((each) => each.frame)).toEqual([new Uint8Array(frame({ tags }))]);
    expect(whereIs(STATION)).toBe(PEER);
  });

  it('are no tags where the frame ends inside of one', () => {
    const { receive, taps } = newWorker();
    for (const length of [14, 15, 16, 17]) receive(datagram(frame({ tags: '81000005' }).subarray(0, length)));
    expect(taps.delivered.map((each) => each.frame.length)).toEqual([14, 15, 16, 17]);
  });
});

describe('any octets', () => {
  const octets = fc.uint8Array({ maxLength: 2_000 });
  const header = fc
    .constantFrom(SEGMENT.vni, SEGMENT.vni, SEGMENT.vni + 1)
    .map((vni) => datagram(Buffer.alloc(0), { vni }));
  const macs = fc.constantFrom(DESTINATION + STATION, BROADCAST + STATION, `${DESTINATION}${TAP_MAC}`);
  const types = fc.constantFrom('0800', '86dd', '81000005', '8100000088a80001', '0806', '08004500', '86dd6000');
  const likely = fc
    .tuple(header, macs, types, fc.uint8Array({ maxLength: 1_900 }))
    .map(([vxlan, mac, type, rest]) => Buffer.concat([vxlan, Buffer.from(mac + type, 'hex'), rest]));
  const segment = fc.record({
    innerVlan: fc.constantFrom(...Object.values(INNER_VLAN)),
    tapMtuBytes: fc.constantFrom(68, 100, 1_450),
    tapUp: fc.boolean(),
    learning: fc.boolean(),
  });

  it('are either delivered or counted, exactly once, and never throw', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(octets, likely), { maxLength: 40 }),
        segment,
        fc.boolean(),
        (all, differs, strict) => {
          const { receive, taps, counters, drops, underlay } = newWorker([{ ...SEGMENT, ...differs }], {
            dropReservedBits: strict,
          });
          for (const each of all) receive(each);
          const dropped = Object.values(drops()).reduce((sum, count) => sum + count, 0);
          expect(taps.delivered.length + dropped).toBe(all.length);
          expect(counters.passed).toHaveLength(taps.delivered.length);
          underlay.flush();
          expect(underlay.sent).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
  });
});
