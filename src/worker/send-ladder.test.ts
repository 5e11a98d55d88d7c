/** Overlay to underlay, through the whole of forwardFrames on ports in memory: what is sent where, learned, and counted as dropped. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fdb, LOCAL_SOURCE, type SourceAddress, UNKNOWN } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { Counters, NO_SEGMENT } from '../forward/counters.ts';
import { RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { MemoryTapPort } from '../overlay/memory-tap-port.ts';
import { TAP_GONE } from '../overlay/tap-port.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import { SegmentMap } from '../segment/segment-map.ts';
import { Slab } from '../sys/slab.ts';
import { MemoryUdpPort } from '../underlay/memory-udp-port.ts';
import { newFrameHeaders } from '../wire/ip.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { forwardDatagrams, forwardFrames, setIpv4Source } from './loop.ts';

const NOW = 1_000;
const AGEING_SECONDS = 30;
const [PEER, OTHER_PEER, THIRD_PEER, GROUP] = ['198.18.0.2', '198.18.0.3', '198.18.0.4', '239.1.1.1'].map((text) =>
  Buffer.from(text.split('.').map(Number)).readInt32BE(0),
) as [number, number, number, number];
const UNICAST_SOCKET = 0;

const STATION = '020000000001';
const DESTINATION = '020000000002';
const BROADCAST = 'ffffffffffff';
const PAYLOAD = Buffer.from('88b566726f6d206e656172', 'hex');

const SEGMENT: Segment = {
  index: 3,
  vni: 0x00_1234,
  underlay: 0,
  group: 5,
  groupAddress: GROUP,
  floodRemotes: [],
  tap: 7,
  tapUp: true,
  tapMtuBytes: 1_450,
  tapMacHigh: 0xfe00_0000,
  tapMacLow: 9,
  maxFrameBytes: 100,
  learning: true,
  maxMacs: 100,
  innerVlan: INNER_VLAN.drop,
};

function frame({ dst = DESTINATION, src = STATION, tags = '', rest = PAYLOAD } = {}): Buffer {
  return Buffer.concat([Buffer.from(dst + src + tags, 'hex'), rest]);
}

/** What crosses the underlay, by the byte. */
function vxlan(inner: Uint8Array, vni = SEGMENT.vni): Uint8Array {
  const header = Buffer.from([8, 0, 0, 0, vni >>> 16, (vni >>> 8) & 0xff, vni & 0xff, 0]);
  return new Uint8Array(Buffer.concat([header, inner]));
}

const macWordsOf = (mac: string): [number, number] => [
  Number.parseInt(mac.slice(0, 8), 16),
  Number.parseInt(mac.slice(8), 16),
];

/** A TAP whose frames the kernel has left unfinished: their vnet headers can be told. */
class OffloadingTapPort extends MemoryTapPort {
  vnetHeader: Uint8Array = new Uint8Array(VNET_HDR_BYTES);
  isGone = false;
  readonly #bytes: Uint8Array;

  constructor(slab: Slab) {
    super(slab);
    this.#bytes = slab.bytes;
  }

  override read(tap: number): number {
    if (this.isGone) return TAP_GONE;
    const count = super.read(tap);
    for (let i = 0; i < count; i++) this.#bytes.set(this.vnetHeader, this.frameAt(i) - VNET_HDR_BYTES);
    return count;
  }
}

function newWorker(segments: readonly Segment[] = [SEGMENT]) {
  const slab = new Slab(1_048_576);
  const fdb = new Fdb(createFdbMemory(1, AGEING_SECONDS), 1);
  const taps = new OffloadingTapPort(slab);
  const underlay = new MemoryUdpPort(slab, fdb.remotes);
  const counters = new Counters(Counters.createMemory());
  const map = new SegmentMap();
  for (const segment of segments) map.apply({ kind: 'put', segment });
  underlay.addSocket(UNICAST_SOCKET, NO_GROUP);
  const headers = newFrameHeaders();
  const receivePath = {
    view: slab.view,
    segments: map,
    fdb,
    taps,
    headers,
    source: { a: 0, b: 0, c: 0, d: 0 },
    isOwnAddress: () => false,
    dropReservedBits: false,
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
  const send = (inner: Uint8Array, { tap = SEGMENT.tap, now = NOW } = {}) => {
    taps.inject(tap, inner);
    return forwardFrames(ports, tap, now);
  };
  /** The destination MAC is heard from a VTEP, as it is in life: by a datagram. */
  const hear = (mac: string, address: number, { vni = SEGMENT.vni, now = NOW } = {}) => {
    underlay.inject(UNICAST_SOCKET, address, vxlan(frame({ src: mac }), vni));
    forwardDatagrams(ports, UNICAST_SOCKET, now);
  };
  const whereIs = (mac: string, { segment = SEGMENT.index, now = NOW } = {}) => {
    const remote = fdb.lookup(segment, ...macWordsOf(mac), now);
    return remote === UNKNOWN || remote === LOCAL ? remote : fdb.remotes.word(remote, 3);
  };
  const addStatic = (mac: string, address: number | 'local') =>
    fdb.addStatic(SEGMENT.index, ...macWordsOf(mac), address === 'local' ? LOCAL_SOURCE : sourceOf(address), NOW);
  const drops = () => {
    const found: Record<string, number> = {};
    for (const segment of [NO_SEGMENT, ...segments.map(({ index }) => index)]) {
      const { rx, tx } = counters.drops(segment);
      for (const [i, count] of rx.entries()) if (count > 0) found[`${segment} rx ${RX_REASONS[i]}`] = count;
      for (const [i, count] of tx.entries()) if (count > 0) found[`${segment} ${TX_REASONS[i]}`] = count;
    }
    return found;
  };
  return { ports, fdb, taps, underlay, counters, send, hear, whereIs, addStatic, drops };
}

function sourceOf(address: number): SourceAddress {
  const source = { a: 0, b: 0, c: 0, d: 0 };
  setIpv4Source(source, address);
  return source;
}

/** A worker whose flood list is these remotes. */
function newFloodingWorker(addresses: readonly number[], differs: Partial<Segment> = {}) {
  const floodRemotes: number[] = [];
  const worker = newWorker([{ ...SEGMENT, ...differs, floodRemotes }]);
  for (const address of addresses) floodRemotes.push(worker.fdb.retainRemote(sourceOf(address)));
  return worker;
}

const destinationsOf = ({ underlay }: ReturnType<typeof newWorker>) =>
  underlay.sent.map(({ destination }) => destination);

describe('a frame of the TAP', () => {
  it.each([0, 1, 0xab_cdef, 0xff_ffff])('goes out behind the eight octets of a VXLAN header with VNI %i', (vni) => {
    const { send, underlay } = newWorker([{ ...SEGMENT, vni }]);
    const inner = frame();
    send(inner);
    expect(underlay.sent).toEqual([{ vni, destination: GROUP, flow: expect.any(Number), payload: vxlan(inner, vni) }]);
  });

  it('goes to the VTEP of its destination alone, if that is known (T3, T4)', () => {
    const worker = newFloodingWorker([OTHER_PEER]);
    worker.hear(DESTINATION, PEER);
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([PEER]);
    expect(worker.drops()).toEqual({});
  });

  it('follows a MAC that has moved, to a VTEP, and to the own side (T8)', () => {
    const worker = newWorker();
    worker.hear(DESTINATION, PEER);
    worker.hear(DESTINATION, OTHER_PEER);
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([OTHER_PEER]);
    worker.send(frame({ src: DESTINATION, dst: BROADCAST }));
    worker.send(frame());
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} local`]: 1 });
  });

  it.each([
    ['broadcast', BROADCAST],
    ['multicast', '01005e010101'],
    ['a neighbour of the link-local addresses', '0180c2000010'],
    ['an unknown unicast', '020000000055'],
  ])('for %s goes once to the group and once to each remote', (_, dst) => {
    const worker = newFloodingWorker([PEER, OTHER_PEER, THIRD_PEER]);
    worker.send(frame({ dst }));
    expect(destinationsOf(worker)).toEqual([GROUP, PEER, OTHER_PEER, THIRD_PEER]);
    expect(new Set(worker.underlay.sent.map(({ payload }) => Buffer.from(payload).toString('hex')))).toEqual(
      new Set([Buffer.from(vxlan(frame({ dst }))).toString('hex')]),
    );
    // All copies of a flow leave by one source port.
    expect(new Set(worker.underlay.sent.map(({ flow }) => flow)).size).toBe(1);
  });

  it('goes to the remotes alone where there is no group', () => {
    const worker = newFloodingWorker([PEER, OTHER_PEER], { group: NO_GROUP, groupAddress: 0 });
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([PEER, OTHER_PEER]);
  });

  it('is flooded again once its destination has aged out or was deleted (T5, T6)', () => {
    const worker = newWorker();
    worker.hear(DESTINATION, PEER);
    worker.send(frame(), { now: NOW + AGEING_SECONDS * 10 - 1 });
    worker.send(frame(), { now: NOW + AGEING_SECONDS * 10 });
    expect(destinationsOf(worker)).toEqual([PEER, GROUP]);
    worker.hear(DESTINATION, PEER, { now: NOW + 400 });
    worker.fdb.delete(SEGMENT.index, ...macWordsOf(DESTINATION), NOW + 400);
    worker.send(frame(), { now: NOW + 400 });
    expect(destinationsOf(worker)).toEqual([PEER, GROUP, GROUP]);
  });

  it('does not keep its destination young: age counts what is heard (T6)', () => {
    const worker = newWorker();
    worker.hear(DESTINATION, PEER);
    for (let now = NOW; now < NOW + 300; now += 50) worker.send(frame(), { now });
    expect(worker.whereIs(DESTINATION, { now: NOW + 299 })).toBe(PEER);
    expect(worker.whereIs(DESTINATION, { now: NOW + 300 })).toBe(UNKNOWN);
  });

  it('to a group address goes to the group, even if somebody has made an entry of it', () => {
    const worker = newWorker();
    worker.addStatic(BROADCAST, PEER);
    worker.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(worker)).toEqual([GROUP]);
  });

  it('is of its TAP’s VNI only (T15)', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8 };
    const worker = newWorker([SEGMENT, other]);
    worker.hear(DESTINATION, PEER);
    worker.hear(DESTINATION, OTHER_PEER, { vni: other.vni });
    worker.send(frame());
    worker.send(frame(), { tap: other.tap });
    expect(worker.underlay.sent.map(({ vni, destination }) => [vni, destination])).toEqual([
      [SEGMENT.vni, PEER],
      [other.vni, OTHER_PEER],
    ]);
  });

  it('leaves by the same flow as others of its conversation, and by another than a different one', () => {
    const { send, underlay } = newWorker();
    const udp = (sourcePort: number, text: string) => {
      const packet = Buffer.from('0800450000200000000040110000c0000201c000020200000007000c0000', 'hex');
      packet.writeUInt16BE(sourcePort, 2 + 20);
      return frame({ rest: Buffer.concat([packet, Buffer.from(text)]) });
    };
    for (const inner of [udp(1, 'abcd'), udp(1, 'wxyz'), udp(2, 'abcd')]) send(inner);
    const [first, same, different] = underlay.sent.map(({ flow }) => flow);
    expect(same).toBe(first);
    expect(different).not.toBe(first);
  });

  it('comes in batches, of which none is lost or sent twice', () => {
    const { ports, taps, underlay } = newWorker();
    const frames = Array.from({ length: 150 }, (_, i) => frame({ rest: Buffer.from([0x88, 0xb5, i]) }));
    for (const inner of frames) taps.inject(SEGMENT.tap, inner);
    for (let batch = 0; batch < 4; batch++) expect(forwardFrames(ports, SEGMENT.tap, NOW)).toBe(true);
    expect(underlay.sent.map(({ payload }) => payload)).toEqual(frames.map((inner) => vxlan(inner)));
  });

  it('of a TAP without a segment goes nowhere, and a TAP that is gone is said to be', () => {
    const { send, underlay, taps, ports } = newWorker();
    expect(send(frame(), { tap: 99 })).toBe(true);
    expect(underlay.sent).toEqual([]);
    taps.isGone = true;
    expect(forwardFrames(ports, SEGMENT.tap, NOW)).toBe(false);
  });
});

describe('learning', () => {
  it('finds the own side’s MACs', () => {
    const { send, whereIs, fdb } = newWorker();
    send(frame());
    expect([whereIs(STATION), fdb.count]).toEqual([LOCAL, 1]);
  });

  it('brings home a MAC that was a VTEP’s (T8)', () => {
    const { send, hear, whereIs, fdb } = newWorker();
    hear(STATION, PEER);
    send(frame());
    expect([whereIs(STATION), fdb.movesOf(SEGMENT.index)]).toEqual([LOCAL, 1]);
  });

  it('does not take place where it is off; static entries still say where to send, and hold no source up (T7)', () => {
    const worker = newWorker([{ ...SEGMENT, learning: false }]);
    worker.addStatic(DESTINATION, PEER);
    worker.addStatic(STATION, OTHER_PEER);
    worker.send(frame());
    worker.send(frame({ src: '020000000077' }));
    expect(destinationsOf(worker)).toEqual([PEER, PEER]);
    expect([worker.fdb.count, worker.drops()]).toEqual([2, {}]);
  });

  it('of a frame that cannot be learned for want of room does not keep it from being sent', () => {
    const worker = newWorker([{ ...SEGMENT, maxMacs: 0 }]);
    worker.send(frame());
    expect([destinationsOf(worker), worker.fdb.count]).toEqual([[GROUP], 0]);
  });
});

/** What is wrong with a frame or with the segment; all but `reason` add to one another. */
interface Fault {
  readonly reason: (typeof TX_REASONS)[number];
  readonly inner?: Parameters<typeof frame>[0];
  readonly segment?: Partial<Segment>;
  readonly isSourcePinnedElsewhere?: boolean;
  readonly isDestinationLocal?: boolean;
  /** Octets that the frame has. */
  readonly cutTo?: number;
}

/** In the order of the contract. */
const FAULTS: readonly Fault[] = [
  { reason: 'short', cutTo: 13 },
  { reason: 'bad-source-mac', inner: { src: '030000000001' } },
  { reason: 'static-conflict', isSourcePinnedElsewhere: true },
  { reason: 'inner-vlan', inner: { tags: '81000005' } },
  { reason: 'link-local', inner: { dst: '0180c200000e' } },
  { reason: 'local', isDestinationLocal: true },
  { reason: 'no-remote', segment: { group: NO_GROUP, groupAddress: 0 } },
  { reason: 'oversize', inner: { rest: Buffer.alloc(89, 0x88) } },
];

function sendWith(faults: readonly Fault[]) {
  const segment = Object.assign({}, ...faults.map((fault) => fault.segment));
  const inner: Parameters<typeof frame>[0] = Object.assign({}, ...faults.map((fault) => fault.inner));
  const worker = newWorker([{ ...SEGMENT, ...segment }]);
  if (faults.some(({ isSourcePinnedElsewhere }) => isSourcePinnedElsewhere)) {
    worker.addStatic(inner?.src ?? STATION, PEER);
  }
  if (faults.some(({ isDestinationLocal }) => isDestinationLocal)) worker.addStatic(inner?.dst ?? DESTINATION, 'local');
  const before = worker.fdb.count;
  const whole = frame(inner);
  worker.send(whole.subarray(0, Math.min(whole.length, ...faults.flatMap((fault) => fault.cutTo ?? []))));
  return { ...worker, learned: worker.fdb.count - before };
}

const PAIRS = FAULTS.flatMap((first, i) => FAULTS.slice(i + 1).map((second) => [first, second] as const));

describe('a drop', () => {
  it('is none without a fault: what the rows below have in common is sent', () => {
    const { underlay, drops, learned } = sendWith([]);
    expect([underlay.sent.length, drops(), learned]).toEqual([1, {}, 1]);
  });

  it.each(FAULTS.map((fault) => [fault.reason, fault] as const))(
    'is counted once as %s, sends nothing and teaches nothing',
    (reason, fault) => {
      const { underlay, drops, learned } = sendWith([fault]);
      expect(drops()).toEqual({ [`${SEGMENT.index} ${reason}`]: 1 });
      expect([underlay.sent, learned]).toEqual([[], 0]);
    },
  );

  it.each(PAIRS.map((faults) => [faults[0].reason, faults[1].reason, faults] as const))(
    'for %s comes before one for %s',
    (reason, _, faults) => {
      const { underlay, drops, learned } = sendWith(faults);
      expect(drops()).toEqual({ [`${SEGMENT.index} ${reason}`]: 1 });
      expect([underlay.sent, learned]).toEqual([[], 0]);
    },
  );

  it.each(Array.from({ length: 14 }, (_, length) => length))('is for short with %i octets', (length) => {
    const { send, drops } = newWorker();
    send(frame().subarray(0, length));
    expect(drops()).toEqual({ [`${SEGMENT.index} short`]: 1 });
  });

  it.each(['010000000001', '000000000000', BROADCAST])('is for bad-source-mac from %s (T13)', (src) => {
    const worker = newWorker();
    worker.send(frame({ src }));
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} bad-source-mac`]: 1 });
    worker.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(worker)).toEqual([GROUP]);
  });

  it('is for link-local to 01:80:c2:00:00:00 to :0f, not to :10', () => {
    const worker = newWorker();
    for (let last = 0; last <= 0x10; last++) {
      worker.send(frame({ dst: `0180c20000${last.toString(16).padStart(2, '0')}` }));
    }
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} link-local`]: 16 });
    expect(destinationsOf(worker)).toEqual([GROUP]);
  });

  it('is for no-remote only of what must be flooded: a known destination needs no flood list', () => {
    const worker = newWorker([{ ...SEGMENT, group: NO_GROUP, groupAddress: 0 }]);
    worker.hear(DESTINATION, PEER);
    worker.send(frame());
    worker.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(worker)).toEqual([PEER]);
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} no-remote`]: 1 });
  });

  it('is for oversize from the first octet that does not fit, flooded or not', () => {
    const worker = newWorker();
    const fits = frame({ rest: Buffer.alloc(88, 0x88) });
    const oversize = frame({ rest: Buffer.alloc(89, 0x88) });
    worker.hear(DESTINATION, PEER);
    for (const inner of [fits, oversize, frame({ dst: BROADCAST, rest: Buffer.alloc(89, 0x88) })]) worker.send(inner);
    expect(worker.underlay.sent.map(({ payload }) => payload.length)).toEqual([108]);
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} oversize`]: 2 });
  });

  it('of a static conflict is none from where the entry says', () => {
    const worker = newWorker();
    worker.addStatic(STATION, 'local');
    worker.send(frame());
    expect([destinationsOf(worker), worker.drops()]).toEqual([[GROUP], {}]);
  });

  it('of one segment is not another’s', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8 };
    const { send, drops } = newWorker([SEGMENT, other]);
    send(frame({ src: BROADCAST }), { tap: other.tap });
    expect(drops()).toEqual({ '4 bad-source-mac': 1 });
  });
});

describe('inner VLAN tags (T32)', () => {
  const rows: readonly [tags: string, isVlan: boolean][] = [
    ['81000005', true],
    ['8100e005', true],
    ['88a80005', true],
    ['88a8000581000006', true],
    ['81000000', false],
    ['8100e000', false],
    ['88a8000081000000', false],
    ['88a8000081000006', true],
  ];

  it.each(rows)('%s with inner-vlan=drop: a VLAN %s', (tags, isVlan) => {
    const { send, underlay, drops } = newWorker();
    send(frame({ tags }));
    expect(drops()).toEqual(isVlan ? { [`${SEGMENT.index} inner-vlan`]: 1 } : {});
    expect(underlay.sent.map(({ payload }) => payload)).toEqual(isVlan ? [] : [vxlan(frame({ tags }))]);
  });

  it.each(rows)('%s with inner-vlan=strip: all tags go, and with them their octets', (tags) => {
    const { send, underlay, whereIs } = newWorker([
      { ...SEGMENT, innerVlan: INNER_VLAN.strip, maxFrameBytes: frame().length },
    ]);
    send(frame({ tags }));
    send(frame());
    expect(underlay.sent.map(({ payload }) => payload)).toEqual([vxlan(frame()), vxlan(frame())]);
    expect(underlay.sent[0]?.flow).toBe(underlay.sent[1]?.flow);
    expect(whereIs(STATION)).toBe(LOCAL);
  });

  it.each(rows)('%s with inner-vlan=pass: stays', (tags) => {
    const { send, underlay } = newWorker([{ ...SEGMENT, innerVlan: INNER_VLAN.pass }]);
    send(frame({ tags }));
    expect(underlay.sent.map(({ payload }) => payload)).toEqual([vxlan(frame({ tags }))]);
  });

  it('are no tags where the frame ends inside of one', () => {
    const { send, underlay } = newWorker();
    for (const length of [14, 15, 16, 17]) send(frame({ tags: '81000005' }).subarray(0, length));
    expect(underlay.sent.map(({ payload }) => payload.length)).toEqual([22, 23, 24, 25]);
  });
});

describe('a checksum that the kernel has left to us', () => {
  const [IPV4_BYTES, UDP_AT, TCP_AT] = [20, 6, 16];

  /** RFC 1071, over the octets themselves. */
  function sum16(bytes: Uint8Array): number {
    let sum = 0;
    for (const [i, byte] of bytes.entries()) sum += i % 2 === 0 ? byte << 8 : byte;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    return sum;
  }

  /** A frame of IPv4 whose transport checksum field holds the sum of the pseudo-header, as the kernel leaves it. */
  function partial(protocol: 'udp' | 'tcp', { tags = '', text = 'odd octets' } = {}): Buffer {
    const header = Buffer.alloc(protocol === 'udp' ? 8 : 20);
    header.writeUInt32BE(0x1234_0050, 0);
    if (protocol === 'udp') header.writeUInt16BE(8 + text.length, 4);
    else header.writeUInt8(0x50, 12);
    const transport = Buffer.concat([header, Buffer.from(text, 'latin1')]);
    const ip = Buffer.from('45000000000040004000 0000c0000201c0000202'.replace(' ', ''), 'hex');
    ip.writeUInt16BE(IPV4_BYTES + transport.length, 2);
    ip.writeUInt8(protocol === 'udp' ? 17 : 6, 9);
    const pseudo = Buffer.concat([ip.subarray(12, 20), Buffer.from([0, ip.readUInt8(9), 0, transport.length])]);
    transport.writeUInt16BE(sum16(pseudo), protocol === 'udp' ? UDP_AT : TCP_AT);
    return frame({ tags, rest: Buffer.concat([Buffer.from('0800', 'hex'), ip, transport]) });
  }

  function vnetHeader(start: number, offset: number): Uint8Array {
    const header = Buffer.alloc(VNET_HDR_BYTES);
    header.writeUInt8(1, 0);
    header.writeUInt16LE(start, 6);
    header.writeUInt16LE(offset, 8);
    return header;
  }

  /** The sum over pseudo-header and transport of what was sent: all ones if the checksum is right. */
  function verify(payload: Uint8Array, ipAt: number): number {
    const ip = Buffer.from(payload.subarray(ipAt));
    const transport = ip.subarray(IPV4_BYTES, ip.readUInt16BE(2));
    return sum16(
      Buffer.concat([ip.subarray(12, 20), Buffer.from([0, ip.readUInt8(9), 0, transport.length]), transport]),
    );
  }

  it.each([
    ['UDP', partial('udp'), 34, UDP_AT, INNER_VLAN.drop, 22],
    ['UDP of an odd length', partial('udp', { text: 'abc' }), 34, UDP_AT, INNER_VLAN.drop, 22],
    ['TCP', partial('tcp'), 34, TCP_AT, INNER_VLAN.drop, 22],
    ['TCP behind a tag that passes', partial('tcp', { tags: '81000005' }), 38, TCP_AT, INNER_VLAN.pass, 26],
    ['TCP behind a tag that goes', partial('tcp', { tags: '81000005' }), 38, TCP_AT, INNER_VLAN.strip, 22],
  ])('is finished: %s', (_, inner, start, offset, innerVlan, ipAt) => {
    const { send, taps, underlay } = newWorker([{ ...SEGMENT, innerVlan }]);
    taps.vnetHeader = vnetHeader(start, offset);
    const before = sum16(inner);
    send(inner);
    const { payload } = underlay.sent[0] as { payload: Uint8Array };
    expect(verify(payload, ipAt)).toBe(0xffff);
    // Nothing else of the frame has changed.
    if (innerVlan === INNER_VLAN.strip) return;
    const at = 8 + start + offset;
    const others = Buffer.from(payload.subarray(8));
    others.writeUInt16BE(inner.readUInt16BE(start + offset), at - 8);
    expect([sum16(others), others.equals(inner)]).toEqual([before, true]);
  });

  it('that comes out as zero is written 0xffff, which for UDP means the same and not “none”', () => {
    const { send, taps, underlay } = newWorker();
    const inner = partial('udp', { text: 'ab\0\0' });
    // The last word makes the whole sum all ones.
    inner.writeUInt16BE(0xffff - sum16(inner.subarray(34)), inner.length - 2);
    taps.vnetHeader = vnetHeader(34, UDP_AT);
    send(inner);
    const sent = Buffer.from((underlay.sent[0] as { payload: Uint8Array }).payload);
    expect(sent.readUInt16BE(8 + 34 + UDP_AT)).toBe(0xffff);
  });

  it('is left alone where the header does not ask for it', () => {
    const { send, underlay } = newWorker();
    const inner = partial('udp');
    send(inner);
    expect(underlay.sent[0]?.payload).toEqual(vxlan(inner));
  });

  it.each([
    [34, 200],
    [65_535, 0],
    [65_535, 65_535],
    [frame().length - 1, 0],
    [0, frame().length - 1],
  ])('is not looked for outside of the frame: from %i, at %i', (start, offset) => {
    const { send, taps, underlay } = newWorker();
    taps.vnetHeader = vnetHeader(start, offset);
    send(frame());
    expect(underlay.sent[0]?.payload).toEqual(vxlan(frame()));
  });
});

describe('any octets', () => {
  const macs = fc.constantFrom(
    DESTINATION + STATION,
    BROADCAST + STATION,
    STATION + DESTINATION,
    `0180c2000003${STATION}`,
  );
  const types = fc.constantFrom('0800', '86dd', '81000005', '8100000088a80001', '0806', '08004500', '86dd6000');
  const likely = fc
    .tuple(macs, types, fc.uint8Array({ maxLength: 150 }))
    .map(([mac, type, rest]) => Buffer.concat([Buffer.from(mac + type, 'hex'), rest]));
  const frames = fc.array(fc.oneof(fc.uint8Array({ maxLength: 200 }), likely), { maxLength: 40 });
  const vnetHeaders = fc.uint8Array({ minLength: VNET_HDR_BYTES, maxLength: VNET_HDR_BYTES });

  it('are either sent or counted, exactly once, and never throw, whatever the vnet header says', () => {
    fc.assert(
      fc.property(frames, vnetHeaders, fc.constantFrom(...Object.values(INNER_VLAN)), (all, vnet, innerVlan) => {
        const { send, taps, underlay, drops } = newWorker([{ ...SEGMENT, innerVlan }]);
        taps.vnetHeader = vnet;
        for (const each of all) send(each);
        const dropped = Object.values(drops()).reduce((sum, count) => sum + count, 0);
        expect(underlay.sent.length + dropped).toBe(all.length);
      }),
      { numRuns: 150 },
    );
  });
});
