/** Underlay to overlay, through the whole of forwardDatagrams on ports in memory: what is delivered and learned. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UNKNOWN } from '../fdb/fdb.ts';
import { INNER_VLAN } from '../segment/segment.ts';
import {
  BROADCAST,
  DESTINATION,
  datagram,
  frame,
  GROUP_SOCKET,
  NOW,
  newRig,
  OTHER_GROUP_SOCKET,
  OTHER_PEER,
  PEER,
  SEGMENT,
  STATION,
  TAP_MAC,
  UNICAST_SOCKET,
} from './ladder-rig.ts';
import { forwardDatagrams } from './loop.ts';

describe('a frame for the TAP', () => {
  it('is delivered as it came, behind an empty vnet header, counted, and teaches where its sender is', () => {
    const { receive, taps, counters, whereIs, drops } = newRig();
    const inner = frame();
    receive(datagram(inner));
    expect(taps.delivered).toEqual([
      { tap: SEGMENT.tap, vnetHeader: new Uint8Array(10), frame: new Uint8Array(inner) },
    ]);
    expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes: inner.length, packets: 1 }]);
    expect(whereIs(STATION)).toBe(PEER);
    expect(drops()).toEqual({});
  });

  it.each([
    ['unicast', UNICAST_SOCKET],
    ['the segment’s own group', GROUP_SOCKET],
  ])('may come by %s', (_, socket) => {
    const { receive, taps } = newRig();
    receive(datagram(frame()), { socket });
    expect(taps.delivered).toHaveLength(1);
  });

  it.each([DESTINATION, BROADCAST, '01005e010101', '0180c2000010', TAP_MAC])('may be for %s', (dst) => {
    const { receive, taps } = newRig();
    receive(datagram(frame({ dst })));
    expect(taps.delivered).toHaveLength(1);
  });

  it('may be the shortest there is, or longer than the TAP’s MTU', () => {
    const { receive, taps } = newRig();
    const shortest = frame({ rest: Buffer.from('88b5', 'hex') });
    const long = frame({ rest: Buffer.alloc(2_000 - 12, 0x88) });
    receive(datagram(shortest));
    receive(datagram(long));
    expect(taps.delivered.map(({ frame: { length } }) => length)).toEqual([14, 2_000]);
  });

  it('never goes back to the underlay, whatever its destination (split horizon)', () => {
    const { receive, underlay, addStatic, taps } = newRig([{ ...SEGMENT, floodRemotes: [1] }]);
    addStatic(DESTINATION, OTHER_PEER);
    for (const dst of [DESTINATION, BROADCAST, '020000000099']) receive(datagram(frame({ dst })));
    underlay.flush();
    expect(taps.delivered).toHaveLength(3);
    expect(underlay.sent).toEqual([]);
  });

  it('comes in batches, of which none is lost or forwarded twice', () => {
    const { ports, underlay, taps } = newRig();
    const frames = Array.from({ length: 70 }, (_, i) => frame({ rest: Buffer.from([0x88, 0xb5, i]) }));
    for (const inner of frames) underlay.inject(UNICAST_SOCKET, PEER, datagram(inner));
    for (let batch = 0; batch < 4; batch++) forwardDatagrams(ports, UNICAST_SOCKET, NOW);
    expect(taps.delivered.map((each) => each.frame)).toEqual(frames.map((inner) => new Uint8Array(inner)));
  });

  it('is one of its VNI only: the same MAC in two VNIs is two MACs (T15)', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8, group: OTHER_GROUP_SOCKET };
    const { receive, taps, whereIs } = newRig([SEGMENT, other]);
    receive(datagram(frame()));
    receive(datagram(frame(), { vni: other.vni }), { source: OTHER_PEER });
    expect(taps.delivered.map(({ tap }) => tap)).toEqual([SEGMENT.tap, other.tap]);
    expect(whereIs(STATION)).toBe(PEER);
    expect(whereIs(STATION, { segment: other.index })).toBe(OTHER_PEER);
  });

  it.each([0, 1, 0xab_cdef, 0xff_ffff])('is found by VNI %i', (vni) => {
    const { receive, taps } = newRig([{ ...SEGMENT, vni }]);
    receive(datagram(frame(), { vni }));
    expect(taps.delivered).toHaveLength(1);
  });

  it('with an unfinished UDP checksum is described so to the TAP', () => {
    const { receive, taps } = newRig();
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
    const { receive, whereIs, fdb } = newRig();
    receive(datagram(frame()));
    receive(datagram(frame()), { source: OTHER_PEER });
    expect(whereIs(STATION)).toBe(OTHER_PEER);
    expect([fdb.count, fdb.counts.movesOf(SEGMENT.index)]).toEqual([1, 1]);
  });

  it('keeps a MAC young by what is received (T6)', () => {
    const { receive, whereIs } = newRig();
    receive(datagram(frame()));
    receive(datagram(frame()), { now: NOW + 299 });
    expect(whereIs(STATION, { now: NOW + 598 })).toBe(PEER);
    expect(whereIs(STATION, { now: NOW + 599 })).toBe(UNKNOWN);
  });

  it('does not take place where it is off, and a static entry then holds nothing up (T7)', () => {
    const { receive, taps, fdb, addStatic, whereIs } = newRig([{ ...SEGMENT, learning: false }]);
    receive(datagram(frame()));
    expect(fdb.count).toBe(0);
    addStatic(STATION, OTHER_PEER);
    receive(datagram(frame()));
    expect(taps.delivered).toHaveLength(2);
    expect(whereIs(STATION)).toBe(OTHER_PEER);
  });

  it('ends at the limit, and frames are still forwarded (T28)', () => {
    const { receive, taps, fdb } = newRig([{ ...SEGMENT, maxMacs: 8 }]);
    for (let i = 0; i < 16; i++) receive(datagram(frame({ src: `0200000001${i.toString(16).padStart(2, '0')}` })));
    expect([taps.delivered.length, fdb.counts.totalOf(SEGMENT.index)]).toEqual([16, 8]);
  });

  it('takes a frame from where the static entry says', () => {
    const { receive, taps, addStatic, drops } = newRig();
    addStatic(STATION, PEER);
    receive(datagram(frame()));
    expect([taps.delivered.length, drops()]).toEqual([1, {}]);
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
          const { receive, taps, counters, drops, underlay } = newRig([{ ...SEGMENT, ...differs }], {
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
