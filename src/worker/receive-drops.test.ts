/** Underlay to overlay: what is dropped, for which reason, and which comes first. */
import { describe, expect, it } from 'vitest';
import { NO_SEGMENT } from '../forward/counters.ts';
import { RX_REASONS } from '../forward/drop-reason.ts';
import { receive } from '../forward/receive.ts';
import { STORM_RX } from '../forward/storm-control.ts';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import { NO_GROUP, type Segment } from '../segment/segment.ts';
import {
  BROADCAST,
  datagram,
  type FrameParts,
  frame,
  GROUP_SOCKET,
  type HeaderParts,
  ipWord,
  NOW,
  newRig,
  OTHER_GROUP_SOCKET,
  OTHER_PEER,
  OWN,
  SEGMENT,
  STATION,
  TAP_MAC,
  THIRD_PEER,
} from './ladder-rig.ts';

/** What is wrong with a datagram, its sender or the segment; all but `reason` add to one another. */
interface Fault {
  readonly reason: (typeof RX_REASONS)[number];
  readonly header?: HeaderParts;
  readonly inner?: FrameParts;
  readonly segment?: Partial<Segment>;
  readonly where?: { readonly source?: number; readonly socket?: number };
  readonly isPinnedElsewhere?: boolean;
  /** Storm control has nothing left to give. */
  readonly isStorm?: boolean;
  /** Octets that are left of the UDP payload. */
  readonly cutTo?: number;
}

/** In the order of the contract. */
const FAULTS: readonly Fault[] = [
  { reason: 'short', cutTo: 7 },
  { reason: 'vtep-not-allowed', where: { source: THIRD_PEER } },
  { reason: 'own-packet', where: { source: OWN } },
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
  { reason: 'storm', segment: { stormPps: 1 }, isStorm: true },
  { reason: 'tap-down', segment: { tapUp: false } },
];

/** All senders but THIRD_PEER. */
const ALLOWED = ['198.18.0.1', '198.18.0.2', '198.18.0.3'].map((address) => ({
  address: address as IpAddress,
  bits: 32,
}));

/** Runs one datagram with all these faults through a worker that drops reserved bits and hears ALLOWED. Faults named first win where two exclude each other. */
function receiveWith(faults: readonly Fault[]) {
  const merge = <Key extends 'header' | 'inner' | 'segment' | 'where'>(key: Key) =>
    Object.assign({}, ...faults.map((fault) => fault[key]).reverse()) as NonNullable<Fault[Key]>;
  const options = { dropReservedBits: true, allowedVteps: ALLOWED };
  const worker = newRig([{ ...SEGMENT, ...merge('segment') }], options);
  const inner = merge('inner');
  if (faults.some(({ isPinnedElsewhere }) => isPinnedElsewhere)) {
    worker.addStatic(inner?.src ?? STATION, OTHER_PEER);
  }
  if (faults.some(({ isStorm }) => isStorm)) {
    worker.ports.receivePath.storm.take(SEGMENT.index, STORM_RX, 1, 1, NOW);
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
      expect(drops()).toEqual({ [`${segmentOf(reason)} rx ${reason}`]: 1 });
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
    expect(drops()).toEqual({ [`${segmentOf(reason)} rx ${reason}`]: 1 });
    expect([taps.delivered.length, learned]).toEqual([0, 0]);
  });

  it.each(Array.from({ length: 8 }, (_, length) => length))('is for short with %i octets (T12)', (length) => {
    const { receive, drops } = newRig();
    receive(datagram(frame()).subarray(0, length));
    expect(drops()).toEqual({ [`${NO_SEGMENT} rx short`]: 1 });
  });

  it.each(Array.from({ length: 14 }, (_, length) => length))('is for short-inner with %i octets of frame', (length) => {
    const { receive, drops } = newRig();
    receive(datagram(frame()).subarray(0, 8 + length));
    expect(drops()).toEqual({ [`${SEGMENT.index} rx short-inner`]: 1 });
  });

  it.each([0x00, 0xf7])('is for no-i-flag with flags %i (T10)', (flags) => {
    const { receive, drops } = newRig();
    receive(datagram(frame(), { flags }));
    expect(drops()).toEqual({ [`${NO_SEGMENT} rx no-i-flag`]: 1 });
  });

  it.each(['010000000001', '000000000000', BROADCAST, '01005e000001'])(
    'is for bad-source-mac from %s, and a broadcast still goes to the group (T13)',
    (src) => {
      const { receive, drops, fdb } = newRig();
      receive(datagram(frame({ src })));
      expect(drops()).toEqual({ [`${SEGMENT.index} rx bad-source-mac`]: 1 });
      expect(fdb.count).toBe(0);
    },
  );

  it.each(['000000000100', '000000010000', '020000000000'])('is none for the unusual source %s', (src) => {
    const { receive, taps } = newRig();
    receive(datagram(frame({ src })));
    expect(taps.delivered).toHaveLength(1);
  });

  it('is for link-local to 01:80:c2:00:00:00 to :0f, not to :10 or a neighbour of the prefix', () => {
    const { receive, drops, taps } = newRig();
    for (let last = 0; last <= 0x0f; last++) {
      receive(datagram(frame({ dst: `0180c20000${last.toString(16).padStart(2, '0')}` })));
    }
    expect(drops()).toEqual({ [`${SEGMENT.index} rx link-local`]: 16 });
    for (const dst of ['0180c2000010', '0180c20000ff', '0180c2000100', '0180c3000000'])
      receive(datagram(frame({ dst })));
    expect(taps.delivered).toHaveLength(4);
  });

  it('is for own-mac by all six octets of the TAP’s MAC', () => {
    const { receive, taps, drops } = newRig();
    for (const src of ['fe0000000008', 'fe0000000109', 'fe0000010009', '020000000009'])
      receive(datagram(frame({ src })));
    expect([taps.delivered.length, drops()]).toEqual([4, {}]);
  });

  it('is for wrong-group by a group, of a segment that has none', () => {
    const { receive, drops } = newRig([{ ...SEGMENT, group: NO_GROUP }]);
    receive(datagram(frame()), { socket: GROUP_SOCKET });
    expect(drops()).toEqual({ [`${SEGMENT.index} rx wrong-group`]: 1 });
  });

  it('of an own packet looks at the outer source alone', () => {
    const { receive, drops } = newRig();
    receive(datagram(frame({ src: '020000000077' })), { source: OWN, socket: GROUP_SOCKET });
    expect(drops()).toEqual({ [`${NO_SEGMENT} rx own-packet`]: 1 });
  });

  it('at a TAP that is down is no conflict where learning is off', () => {
    const { receive, addStatic, drops } = newRig([{ ...SEGMENT, learning: false, tapUp: false }]);
    addStatic(STATION, OTHER_PEER);
    receive(datagram(frame()));
    expect(drops()).toEqual({ [`${SEGMENT.index} rx tap-down`]: 1 });
  });
});

describe('the 39 reserved bits, each alone (T11)', () => {
  const headers = [
    ...[0, 1, 2, 3, 5, 6, 7].map((bit) => ({ flags: 0x08 | (0x80 >> bit) })),
    ...Array.from({ length: 24 }, (_, bit) => ({ reserved24: 1 << bit })),
    ...Array.from({ length: 8 }, (_, bit) => ({ reserved8: 1 << bit })),
  ];

  it('are ignored, as the RFC says', () => {
    const { receive, taps, drops } = newRig();
    for (const header of headers) receive(datagram(frame(), header));
    expect([taps.delivered.length, drops()]).toEqual([39, {}]);
  });

  it('are counted drops where that was asked for; without any the frame passes', () => {
    const { receive, taps, drops } = newRig([SEGMENT], { dropReservedBits: true });
    for (const header of headers) receive(datagram(frame(), header));
    expect(drops()).toEqual({ [`${NO_SEGMENT} rx reserved-bits`]: 39 });
    receive(datagram(frame()));
    expect(taps.delivered).toHaveLength(1);
  });
});

describe('a source that no host can have', () => {
  const IPV4 = ['0.0.0.0', '0.1.2.3', '224.0.0.1', '239.1.1.1', '255.255.255.255'];

  it.each(IPV4)('%s is no VTEP, also where any is allowed', (source) => {
    const rig = newRig();
    rig.receive(datagram(frame()), { source: ipWord(source) });
    expect([rig.taps.delivered, rig.fdb.count, rig.drops()]).toEqual([
      [],
      0,
      { [`${NO_SEGMENT} rx vtep-not-allowed`]: 1 },
    ]);
  });

  it.each(['::', 'ff02::1', 'ff0e::5'])('%s likewise', (source) => {
    const rig = newRig();
    Object.assign(rig.ports.receivePath.source, ipWords(source as IpAddress));
    rig.ports.receivePath.view.setUint32(64, 0x0800_0000);
    expect(RX_REASONS[receive(rig.ports.receivePath, 64, 60, 0, NO_GROUP, NOW)]).toBe('vtep-not-allowed');
  });

  it.each(['1.0.0.0', '127.0.0.1', '198.18.0.255', '223.255.255.255', '240.0.0.1'])('%s may be one', (source) => {
    const rig = newRig();
    rig.receive(datagram(frame()), { source: ipWord(source) });
    expect(rig.drops()).toEqual({});
  });
});

describe('what VXLAN-GPE says of the payload', () => {
  it.each([false, true])('drops what is no Ethernet frame, with reserved bits dropped: %s', (dropReservedBits) => {
    const rig = newRig([SEGMENT], { dropReservedBits });
    rig.receive(datagram(frame(), { flags: 0x0c, reserved24: 4 }));
    expect([rig.taps.delivered, rig.fdb.count, rig.drops()]).toEqual([
      [],
      0,
      { [`${NO_SEGMENT} rx reserved-bits`]: 1 },
    ]);
  });

  it('lets an Ethernet frame pass', () => {
    const rig = newRig();
    rig.receive(datagram(frame(), { flags: 0x0c, reserved24: 3 }));
    expect([rig.taps.delivered.length, rig.drops()]).toEqual([1, {}]);
  });
});
