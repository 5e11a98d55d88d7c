/** `flood=` and `storm=` in both ladders: what is flooded, and how much of it. */
import { describe, expect, it } from 'vitest';
import { UNKNOWN } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { naiveFrame, scrambled, TCP, UDP, vnetHeader } from '../offload/naive-frames.ts';
import { FLOOD, type Segment } from '../segment/segment.ts';
import {
  BROADCAST,
  DESTINATION,
  datagram,
  destinationsOf,
  frame,
  GROUP,
  GROUP_SOCKET,
  NOW,
  newFloodingRig,
  newRig,
  OTHER_PEER,
  PEER,
  SEGMENT,
  STATION,
  TAP_MAC,
} from './ladder-rig.ts';

const MULTICAST = '01005e000001';
const STORM = `${SEGMENT.index} rx storm`;
const STORM_OUT = `${SEGMENT.index} tx storm`;

const with_ = (differs: Partial<Segment>) => newRig([{ ...SEGMENT, ...differs }]);

describe('flood=', () => {
  it.each<[name: keyof typeof FLOOD, flooded: string[], refused: string[]]>([
    ['all', [BROADCAST, MULTICAST, DESTINATION], []],
    ['no-unknown', [BROADCAST, MULTICAST], [DESTINATION]],
    ['none', [], [BROADCAST, MULTICAST, DESTINATION]],
  ])('%s floods %j and drops %j', (name, flooded, refused) => {
    for (const dst of [...flooded, ...refused]) {
      const rig = with_({ flood: FLOOD[name] });
      rig.send(frame({ dst }));
      const isFlooded = flooded.includes(dst);
      expect(destinationsOf(rig)).toEqual(isFlooded ? [GROUP] : []);
      expect(rig.drops()).toEqual(isFlooded ? {} : { [`${SEGMENT.index} tx flood-off`]: 1 });
      expect(rig.whereIs(STATION)).toBe(isFlooded ? LOCAL : UNKNOWN);
    }
  });

  it.each(Object.entries(FLOOD))('%s leaves known destinations alone, and what comes in', (_, flood) => {
    const rig = with_({ flood });
    rig.hear(DESTINATION, PEER);
    rig.send(frame());
    rig.receive(datagram(frame({ src: DESTINATION, dst: BROADCAST })), { socket: GROUP_SOCKET });
    expect([destinationsOf(rig), rig.taps.delivered.length, rig.drops()]).toEqual([[PEER], 2, {}]);
  });

  it('none comes before the missing group, and floods to no remote either', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER], { ...SEGMENT, flood: FLOOD.none });
    rig.send(frame({ dst: BROADCAST }));
    expect([rig.underlay.sent, rig.drops()]).toEqual([[], { [`${SEGMENT.index} tx flood-off`]: 1 }]);
  });

  it('drops a super-frame to an unknown destination once', () => {
    const rig = with_({ flood: FLOOD['no-unknown'] });
    const { octets, header } = superFrame(5);
    rig.send(octets, { vnetHeader: header });
    expect([rig.underlay.sent, rig.drops()]).toEqual([[], { [`${SEGMENT.index} tx flood-off`]: 1 }]);
  });
});

describe('storm=, outward', () => {
  it.each([BROADCAST, MULTICAST, DESTINATION])('bounds frames to %s, and what is dropped teaches nothing', (dst) => {
    const rig = with_({ stormPps: 3 });
    for (let i = 1; i <= 5; i++) rig.send(frame({ dst, src: `0200000000a${i}` }));
    expect(destinationsOf(rig)).toEqual([GROUP, GROUP, GROUP]);
    expect(rig.drops()).toEqual({ [STORM_OUT]: 2 });
    expect([rig.whereIs('0200000000a3'), rig.whereIs('0200000000a4')]).toEqual([LOCAL, UNKNOWN]);
  });

  it('takes one frame, however many copies of it leave', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER], { ...SEGMENT, stormPps: 2 });
    for (let i = 0; i < 3; i++) rig.send(frame({ dst: BROADCAST }));
    expect(rig.underlay.sent).toHaveLength(2 * 3);
    expect(rig.drops()).toEqual({ [STORM_OUT]: 1 });
  });

  it('leaves alone what is known, and does not count it', () => {
    const rig = with_({ stormPps: 1 });
    rig.addStatic(DESTINATION, PEER);
    for (let i = 0; i < 5; i++) rig.send(frame());
    rig.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(rig)).toEqual([PEER, PEER, PEER, PEER, PEER, GROUP]);
    expect(rig.drops()).toEqual({});
  });

  it('lets frames through again as time goes on', () => {
    const rig = with_({ stormPps: 10 });
    for (let i = 0; i < 20; i++) rig.send(frame({ dst: BROADCAST }));
    for (let i = 0; i < 20; i++) rig.send(frame({ dst: BROADCAST }), { now: NOW + 3 });
    expect(rig.underlay.sent).toHaveLength(10 + 3);
  });

  it('counts a super-frame as its segments, all of them or none', () => {
    const rig = with_({ stormPps: 12 });
    const { octets, header } = superFrame(5);
    for (let i = 0; i < 3; i++) rig.send(octets, { vnetHeader: header });
    expect(rig.underlay.sent).toHaveLength(10);
    expect(rig.drops()).toEqual({ [STORM_OUT]: 5 });
    for (let i = 0; i < 3; i++) rig.send(frame({ dst: BROADCAST }));
    expect(rig.underlay.sent).toHaveLength(12);
    expect(rig.drops()).toEqual({ [STORM_OUT]: 6 });
  });

  it('takes a super-frame that cannot be cut for one frame', () => {
    const rig = with_({ stormPps: 1 });
    const { octets, header } = superFrame(5);
    // Segments of no octets.
    rig.send(octets, { vnetHeader: header.with(4, 0).with(5, 0) });
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} tx oversize`]: 1 });
  });

  it('is one of each VNI and each direction', () => {
    const rig = newRig([
      { ...SEGMENT, stormPps: 2 },
      { ...SEGMENT, index: 4, vni: 77, tap: 8, stormPps: 1 },
    ]);
    for (let i = 0; i < 3; i++) {
      rig.send(frame({ dst: BROADCAST }));
      rig.send(frame({ dst: BROADCAST }), { tap: 8 });
      rig.receive(datagram(frame({ dst: BROADCAST, src: '020000000033' })));
      rig.receive(datagram(frame({ dst: BROADCAST, src: '020000000033' }), { vni: 77 }));
    }
    expect(rig.drops()).toEqual({ [STORM_OUT]: 1, [STORM]: 1, '4 tx storm': 2, '4 rx storm': 2 });
  });
});

describe('storm=, inward', () => {
  it.each([
    ['broadcast', BROADCAST],
    ['multicast', MULTICAST],
    ['unknown unicast', DESTINATION],
  ])('bounds %s by either socket, and what is dropped teaches nothing', (_, dst) => {
    const rig = with_({ stormPps: 3 });
    for (let i = 1; i <= 5; i++) {
      const socket = i % 2 === 0 ? GROUP_SOCKET : 0;
      rig.receive(datagram(frame({ dst, src: `02000000000${i}` })), { socket });
    }
    expect(rig.taps.delivered).toHaveLength(3);
    expect(rig.drops()).toEqual({ [STORM]: 2 });
    expect([rig.whereIs('020000000003'), rig.whereIs('020000000004')]).toEqual([PEER, UNKNOWN]);
  });

  it.each([
    ['a local MAC', STATION],
    ['the TAP itself', TAP_MAC],
  ])('does not count unicast to %s', (_, dst) => {
    const rig = with_({ stormPps: 1 });
    rig.send(frame({ src: STATION, dst: BROADCAST }));
    for (let i = 0; i < 5; i++) rig.receive(datagram(frame({ src: DESTINATION, dst })));
    expect([rig.taps.delivered.length, rig.drops()]).toEqual([5, {}]);
  });

  it('counts unicast to a MAC that is elsewhere, or whose entry has expired', () => {
    const rig = with_({ stormPps: 1 });
    rig.hear(STATION, OTHER_PEER);
    rig.receive(datagram(frame({ src: DESTINATION, dst: STATION })));
    rig.receive(datagram(frame({ src: DESTINATION, dst: STATION })));
    expect(rig.drops()).toEqual({ [STORM]: 2 });
    const silent = with_({ stormPps: 1 });
    silent.send(frame({ src: STATION, dst: BROADCAST }));
    const later = { now: NOW + 301 };
    for (let i = 0; i < 3; i++) silent.receive(datagram(frame({ src: DESTINATION, dst: STATION })), later);
    expect(silent.drops()).toEqual({ [STORM]: 2 });
  });

  it('goes by the group alone where nothing is learned, and nobody can be known', () => {
    const rig = with_({ stormPps: 1, learning: false });
    for (let i = 0; i < 5; i++) rig.receive(datagram(frame()));
    expect([rig.taps.delivered.length, rig.drops()]).toEqual([5, {}]);
    for (let i = 0; i < 5; i++) rig.receive(datagram(frame()), { socket: GROUP_SOCKET });
    expect([rig.taps.delivered.length, rig.drops()]).toEqual([6, { [STORM]: 4 }]);
  });

  it('comes after a static conflict, which takes nothing', () => {
    const rig = with_({ stormPps: 1 });
    rig.addStatic(STATION, OTHER_PEER);
    for (let i = 0; i < 5; i++) rig.receive(datagram(frame({ dst: BROADCAST })));
    rig.receive(datagram(frame({ dst: BROADCAST, src: DESTINATION })));
    expect(rig.taps.delivered).toHaveLength(1);
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx static-conflict`]: 5 });
  });

  it('counts each datagram of a train, though they repeat one another', () => {
    const rig = with_({ stormPps: 4 });
    const one = datagram(segment(0));
    const train = Buffer.concat([0, 1, 2, 3, 4, 5].map((i) => datagram(segment(i))));
    rig.receive(train, { segmentBytes: one.length });
    expect(rig.taps.delivered).toHaveLength(4);
    expect(rig.drops()).toEqual({ [STORM]: 2 });
  });

  it('lets a train to a known MAC through whole', () => {
    const rig = with_({ stormPps: 1 });
    rig.send(frame({ src: DESTINATION, dst: BROADCAST }));
    const train = Buffer.concat([0, 1, 2, 3, 4, 5].map((i) => datagram(segment(i))));
    rig.receive(train, { segmentBytes: datagram(segment(0)).length });
    expect([rig.taps.delivered.length, rig.drops()]).toEqual([6, {}]);
  });

  it('counts a super-frame of a kernel peer as its segments, whether or not its sender told their size', () => {
    for (const protocol of [UDP, TCP] as const) {
      const rig = with_({ stormPps: 12, tapMtuBytes: 1_040 });
      const whole = datagram(superFrame(5, protocol).octets);
      for (let i = 0; i < 3; i++) rig.receive(whole, { segmentBytes: protocol === UDP ? 1_000 : whole.length });
      expect([protocol, rig.taps.delivered.length]).toEqual([protocol, 2]);
      expect(rig.drops()).toEqual({ [STORM]: 1 });
    }
  });
});

/** Segment `i` of a TCP flow from 02:…:01 to DESTINATION. */
function segment(i: number): Uint8Array {
  const packet = { version: 4, protocol: TCP, payload: scrambled(100, i), sequence: i * 100, id: i } as const;
  return Uint8Array.from(naiveFrame(packet).octets).with(5, 2);
}

/** A super-frame of so many segments of 1000 octets, to DESTINATION. */
function superFrame(segments: number, protocol: typeof TCP | typeof UDP = TCP) {
  const packet = { version: 4, protocol, payload: scrambled(segments * 1_000), checksum: 'partial' } as const;
  const { octets, transportAt } = naiveFrame(packet);
  const header = vnetHeader(protocol === TCP ? 1 : 5, { start: transportAt, protocol, segmentBytes: 1_000 });
  return { octets: Uint8Array.from(octets).with(5, 2), header: Uint8Array.from(header) };
}
