/** TOS and ECN through both ladders (RFC 6040); all combinations of fields stand in wire/ecn.test.ts. */
import { describe, expect, it } from 'vitest';
import { UNKNOWN } from '../fdb/fdb.ts';
import { naiveFrame, type Packet, scrambled, TCP, UDP } from '../offload/naive-frames.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { INNER_VLAN } from '../segment/segment.ts';
import { ECN, INHERIT_TOS } from '../wire/ecn.ts';
import { datagram, frame, newRig, OTHER_GROUP_SOCKET, SEGMENT } from './ladder-rig.ts';

const { notEct, ect0, ect1, ce } = ECN;

const packet = (tos: number, differs: Partial<Packet> = {}) =>
  Uint8Array.from(naiveFrame({ version: 4, protocol: TCP, payload: scrambled(100, 1), tos, ...differs }).octets);

const framesOf = ({ taps }: ReturnType<typeof newRig>) => taps.delivered.map((each) => each.frame);

describe('T22: a datagram that met congestion', () => {
  it.each([4, 6] as const)('carries the mark into IPv%i', (version) => {
    const rig = newRig();
    rig.receive(datagram(packet(0x50 | ect0, { version })), { tos: 0xb8 | ce });
    expect(framesOf(rig)).toEqual([packet(0x50 | ce, { version })]);
    expect(rig.drops()).toEqual({});
  });

  it('is dropped if its frame cannot carry the mark, and teaches nothing', () => {
    const rig = newRig();
    const inner = packet(notEct);
    rig.receive(datagram(inner), { tos: ce });
    expect(framesOf(rig)).toEqual([]);
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx ecn`]: 1 });
    expect(rig.whereIs(Buffer.from(inner.subarray(6, 12)).toString('hex'))).toBe(UNKNOWN);
  });

  it('has the mark behind VLAN tags too', () => {
    const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
    const plain = packet(ect1);
    const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from('81000005', 'hex'), plain.subarray(12)]);
    rig.receive(datagram(tagged), { tos: ce });
    expect(framesOf(rig)).toEqual([packet(ce)]);
  });

  it('is delivered as it is, if it is not IP or too short to tell', () => {
    const rig = newRig();
    for (const inner of [frame(), packet(notEct).subarray(0, 30)]) rig.receive(datagram(inner), { tos: ce });
    expect(framesOf(rig)).toEqual([new Uint8Array(frame()), packet(notEct).subarray(0, 30)]);
  });

  it('counts as `ecn` after a wrong group and before a bad source', () => {
    const rig = newRig();
    const bad = packet(notEct);
    bad[6] = 1;
    rig.receive(datagram(bad), { tos: ce, socket: OTHER_GROUP_SOCKET });
    rig.receive(datagram(bad), { tos: ce });
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx wrong-group`]: 1, [`${SEGMENT.index} rx ecn`]: 1 });
  });

  it.each([false, true])('in a train, each for itself; merging %s', (isOn) => {
    const rig = newRig([SEGMENT], { merging: new OffloadSwitch(isOn, () => {}) });
    const nth = (i: number, tos: number) =>
      packet(tos, { payload: scrambled(100, i), sequence: i * 100, id: i, protocol: TCP });
    const fields = [ect0, ect0, notEct, ect1, ce, notEct, ect0];
    const payload = Buffer.concat(fields.map((field, i) => datagram(nth(i, field))));
    rig.receive(payload, { segmentBytes: payload.length / fields.length, tos: ce });
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx ecn`]: 2 });
    expect(rig.counters.packets()).toBe(5);
    if (!isOn) expect(framesOf(rig)).toEqual([0, 1, 3, 4, 6].map((i) => nth(i, ce)));
  });

  it('shares its way with those before it where nothing is to be carried', () => {
    const rig = newRig();
    const frames = [0, 1, 2].map((i) => packet(i === 1 ? ce : ect0, { id: i }));
    const payload = Buffer.concat(frames.map((inner) => datagram(inner)));
    rig.receive(payload, { segmentBytes: payload.length / 3, tos: ect0 });
    expect(framesOf(rig)).toEqual(frames);
  });
});

describe('what is sent', () => {
  const tosOf = (inner: Uint8Array, tos: number) => {
    const { send, underlay } = newRig([SEGMENT], { tos });
    send(inner);
    return underlay.sent.map((sent) => sent.tos);
  };

  it('T22: has the inner ECN field outside, congestion met included (RFC 6040 §4.1)', () => {
    for (const version of [4, 6] as const) {
      for (const field of [notEct, ect0, ect1, ce]) {
        expect(tosOf(packet(0x50 | field, { version, protocol: UDP }), 0xbb)).toEqual([0xb8 | field]);
      }
    }
  });

  it('T23: has the inner TOS outside if asked, 0 for what is not IP', () => {
    expect(tosOf(packet(0x52), INHERIT_TOS)).toEqual([0x52]);
    expect(tosOf(packet(0x52, { version: 6 }), INHERIT_TOS)).toEqual([0x52]);
    expect(tosOf(frame(), INHERIT_TOS)).toEqual([0]);
    expect(tosOf(frame(), 0x51)).toEqual([0x50]);
  });
});
