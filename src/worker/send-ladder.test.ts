/** Overlay to underlay, through the whole of forwardFrames on ports in memory: what is sent where, and learned. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UNKNOWN } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { TAP_GONE } from '../overlay/tap-port.ts';
import { INNER_VLAN, NO_GROUP } from '../segment/segment.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import {
  AGEING_SECONDS,
  BROADCAST,
  DESTINATION,
  datagram,
  destinationsOf,
  frame,
  GROUP,
  macWords,
  NOW,
  newFloodingRig,
  newRig,
  OTHER_PEER,
  PEER,
  SEGMENT,
  STATION,
  THIRD_PEER,
} from './ladder-rig.ts';
import { forwardFrames } from './loop.ts';

const payloadOf = (inner: Uint8Array, vni = SEGMENT.vni) => new Uint8Array(datagram(inner, { vni }));

describe('a frame of the TAP', () => {
  it.each([0, 1, 0xab_cdef, 0xff_ffff])('goes out behind the eight octets of a VXLAN header with VNI %i', (vni) => {
    const { send, underlay } = newRig([{ ...SEGMENT, vni }]);
    const inner = frame();
    send(inner);
    expect(underlay.sent).toEqual([
      { vni, destination: GROUP, flow: expect.any(Number), tos: 0, mayFragment: false, payload: payloadOf(inner, vni) },
    ]);
  });

  it('goes to the VTEP of its destination alone, if that is known (T3, T4)', () => {
    const worker = newFloodingRig([OTHER_PEER]);
    worker.hear(DESTINATION, PEER);
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([PEER]);
    expect(worker.drops()).toEqual({});
  });

  it('follows a MAC that has moved, to a VTEP, and to the own side (T8)', () => {
    const worker = newRig();
    worker.hear(DESTINATION, PEER);
    worker.hear(DESTINATION, OTHER_PEER);
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([OTHER_PEER]);
    worker.send(frame({ src: DESTINATION, dst: BROADCAST }));
    worker.send(frame());
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx local`]: 1 });
  });

  it.each([
    ['broadcast', BROADCAST],
    ['multicast', '01005e010101'],
    ['a neighbour of the link-local addresses', '0180c2000010'],
    ['an unknown unicast', '020000000055'],
  ])('for %s goes once to the group and once to each remote', (_, dst) => {
    const worker = newFloodingRig([PEER, OTHER_PEER, THIRD_PEER]);
    worker.send(frame({ dst }));
    expect(destinationsOf(worker)).toEqual([GROUP, PEER, OTHER_PEER, THIRD_PEER]);
    expect(new Set(worker.underlay.sent.map(({ payload }) => Buffer.from(payload).toString('hex')))).toEqual(
      new Set([Buffer.from(payloadOf(frame({ dst }))).toString('hex')]),
    );
    // All copies of a flow leave by one source port.
    expect(new Set(worker.underlay.sent.map(({ flow }) => flow)).size).toBe(1);
  });

  it('goes to the remotes alone where there is no group', () => {
    const worker = newFloodingRig([PEER, OTHER_PEER], { ...SEGMENT, group: NO_GROUP });
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([PEER, OTHER_PEER]);
  });

  it.each(['02', '7e', '80', 'fe'])('is learned from and sent by MACs that begin with %s', (first) => {
    const [station, heard, pinned] = [`${first}0000000001`, `${first}0000000002`, `${first}ffffffffff`];
    const worker = newRig();
    worker.hear(heard, PEER);
    worker.addStatic(pinned, OTHER_PEER);
    for (const dst of [heard, pinned]) worker.send(frame({ src: station, dst }));
    worker.send(frame({ src: pinned }));
    expect(destinationsOf(worker)).toEqual([PEER, OTHER_PEER]);
    expect(worker.drops()).toEqual({ [`${SEGMENT.index} tx static-conflict`]: 1 });
    expect([worker.whereIs(station), worker.whereIs(heard), worker.fdb.count]).toEqual([LOCAL, PEER, 3]);
  });

  it('is flooded again once its destination has aged out or was deleted (T5, T6)', () => {
    const worker = newRig();
    worker.hear(DESTINATION, PEER);
    worker.send(frame(), { now: NOW + AGEING_SECONDS * 10 - 1 });
    worker.send(frame(), { now: NOW + AGEING_SECONDS * 10 });
    expect(destinationsOf(worker)).toEqual([PEER, GROUP]);
    worker.hear(DESTINATION, PEER, { now: NOW + 400 });
    worker.fdb.delete(SEGMENT.index, ...macWords(DESTINATION), NOW + 400);
    worker.send(frame(), { now: NOW + 400 });
    expect(destinationsOf(worker)).toEqual([PEER, GROUP, GROUP]);
  });

  it('does not keep its destination young: age counts what is heard (T6)', () => {
    const worker = newRig();
    worker.hear(DESTINATION, PEER);
    for (let now = NOW; now < NOW + 300; now += 50) worker.send(frame(), { now });
    expect(worker.whereIs(DESTINATION, { now: NOW + 299 })).toBe(PEER);
    expect(worker.whereIs(DESTINATION, { now: NOW + 300 })).toBe(UNKNOWN);
  });

  it('to a group address goes to the group, even if somebody has made an entry of it', () => {
    const worker = newRig();
    worker.addStatic(BROADCAST, PEER);
    worker.send(frame({ dst: BROADCAST }));
    expect(destinationsOf(worker)).toEqual([GROUP]);
  });

  it('is of its TAP’s VNI only (T15)', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8 };
    const worker = newRig([SEGMENT, other]);
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
    const { send, underlay } = newRig();
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
    const { ports, taps, underlay } = newRig();
    const frames = Array.from({ length: 150 }, (_, i) => frame({ rest: Buffer.from([0x88, 0xb5, i]) }));
    for (const inner of frames) taps.inject(SEGMENT.tap, inner);
    for (let batch = 0; batch < 4; batch++) expect(forwardFrames(ports, SEGMENT.tap, NOW)).not.toBe(TAP_GONE);
    expect(underlay.sent.map(({ payload }) => payload)).toEqual(frames.map((inner) => payloadOf(inner)));
  });

  it('of a TAP without a segment goes nowhere, and a TAP that is gone is said to be', () => {
    const { send, underlay, taps, ports } = newRig();
    expect(send(frame(), { tap: 99 })).toBe(true);
    expect(underlay.sent).toEqual([]);
    taps.isGone = true;
    expect(forwardFrames(ports, SEGMENT.tap, NOW)).toBe(TAP_GONE);
  });
});

describe('learning', () => {
  it('finds the own side’s MACs', () => {
    const { send, whereIs, fdb } = newRig();
    send(frame());
    expect([whereIs(STATION), fdb.count]).toEqual([LOCAL, 1]);
  });

  it('brings home a MAC that was a VTEP’s (T8)', () => {
    const { send, hear, whereIs, fdb } = newRig();
    hear(STATION, PEER);
    send(frame());
    expect([whereIs(STATION), fdb.counts.movesOf(SEGMENT.index)]).toEqual([LOCAL, 1]);
  });

  it('does not take place where it is off; static entries still say where to send, and hold no source up (T7)', () => {
    const worker = newRig([{ ...SEGMENT, learning: false }]);
    worker.addStatic(DESTINATION, PEER);
    worker.addStatic(STATION, OTHER_PEER);
    worker.send(frame());
    worker.send(frame({ src: '020000000077' }));
    expect(destinationsOf(worker)).toEqual([PEER, PEER]);
    expect([worker.fdb.count, worker.drops()]).toEqual([2, {}]);
  });

  it('of a static entry whose VTEP is this host now goes nowhere, until it is another host again', () => {
    const worker = newRig([SEGMENT]);
    worker.addStatic(DESTINATION, PEER);
    const remote = worker.fdb.remotes.find(0, 0, 0xffff, PEER);
    worker.fdb.remotes.bar(remote, true);
    worker.send(frame());
    expect([destinationsOf(worker), worker.drops()]).toEqual([[], { [`${SEGMENT.index} tx no-remote`]: 1 }]);
    worker.fdb.remotes.bar(remote, false);
    worker.send(frame());
    expect(destinationsOf(worker)).toEqual([PEER]);
  });

  it('of a frame that cannot be learned for want of room does not keep it from being sent', () => {
    const worker = newRig([{ ...SEGMENT, maxMacs: 0 }]);
    worker.send(frame());
    expect([destinationsOf(worker), worker.fdb.count]).toEqual([[GROUP], 0]);
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
  const gsoTypes = fc.constantFrom(0, 1, 4, 5, 0x81, 0x84);
  const u16 = fc.nat({ max: 0xffff });
  const likelyHeader = fc
    .tuple(gsoTypes, u16, fc.nat({ max: 40 }), fc.oneof(u16, fc.constantFrom(34, 54, 38, 58)), fc.constantFrom(6, 16))
    .map(([type, ...words]) => new Uint8Array([1, type, ...words.flatMap((n) => [n & 0xff, n >> 8])]));
  const anyHeader = fc.uint8Array({ minLength: VNET_HDR_BYTES, maxLength: VNET_HDR_BYTES });
  const vnetHeaders = fc.oneof(anyHeader, likelyHeader);

  it('are either sent or counted, a super-frame in one or more datagrams, and never throw, whatever the vnet header says', () => {
    fc.assert(
      fc.property(frames, vnetHeaders, fc.constantFrom(...Object.values(INNER_VLAN)), (all, vnetHeader, innerVlan) => {
        const { send, underlay, drops } = newRig([{ ...SEGMENT, innerVlan }]);
        const isSuper = ((vnetHeader[1] as number) & 0x7f) !== 0;
        for (const each of all) {
          const [sentBefore, droppedBefore] = [underlay.sent.length, total(drops())];
          send(each, { vnetHeader });
          const [sent, dropped] = [underlay.sent.length - sentBefore, total(drops()) - droppedBefore];
          expect(dropped).toBe(sent === 0 ? 1 : 0);
          if (!isSuper) expect(sent + dropped).toBe(1);
        }
      }),
      { numRuns: 150 },
    );
  });

  const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, count) => sum + count, 0);
});
