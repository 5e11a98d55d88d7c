import { describe, expect, it } from 'vitest';
import {
  BROADCAST,
  DESTINATION,
  datagram,
  frame,
  NOW,
  newFloodingRig,
  newRig,
  OTHER_PEER,
  PAYLOAD,
  PEER,
  SEGMENT,
  STATION,
  THIRD_PEER,
} from './ladder-rig.ts';

const NOTHING = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, drops: 0, heard: undefined };
const FRAME_BYTES = 12 + PAYLOAD.length;

describe('what is counted of a VTEP', () => {
  it('begins with the datagram that makes it known', () => {
    const rig = newRig();
    rig.receive(datagram(frame({ src: DESTINATION })), { source: PEER, now: NOW + 3 });
    rig.receive(datagram(frame({ src: DESTINATION })), { source: PEER, now: NOW + 5 });
    expect(rig.vtep(PEER)).toEqual({ ...NOTHING, rxPackets: 2, rxBytes: 2 * FRAME_BYTES, heard: NOW + 5 });
  });

  it('is each datagram of a train, those that take the short way too', () => {
    const rig = newRig();
    const one = datagram(frame({ src: DESTINATION }));
    rig.receive(Buffer.concat([one, one, one.subarray(0, one.length - 4)]), { source: PEER, segmentBytes: one.length });
    expect(rig.vtep(PEER)).toMatchObject({ rxPackets: 3, rxBytes: 3 * FRAME_BYTES - 4, drops: 0 });
  });

  it('is drops by themselves, and says nothing of when it was heard', () => {
    const rig = newRig();
    rig.receive(datagram(frame({ src: DESTINATION })), { source: PEER });
    rig.receive(datagram(frame(), { vni: 77 }), { source: PEER, now: NOW + 9 });
    expect(rig.vtep(PEER)).toEqual({ ...NOTHING, rxPackets: 1, rxBytes: FRAME_BYTES, drops: 1, heard: NOW });
  });

  it('keeps VTEPs apart whose datagrams come in one batch', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER]);
    for (const source of [PEER, OTHER_PEER, PEER]) rig.receive(datagram(frame({ src: DESTINATION })), { source });
    expect(rig.vtep(PEER).rxPackets).toBe(2);
    expect(rig.vtep(OTHER_PEER).rxPackets).toBe(1);
  });
});

describe('what is counted as flooded', () => {
  it('is a copy for the group and for each remote', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER, THIRD_PEER]);
    rig.send(frame({ dst: BROADCAST, src: STATION }));
    expect(rig.counters.passages(SEGMENT.index).flooded).toBe(4);
  });

  it('is not what goes to a VTEP that is known', () => {
    const rig = newRig();
    rig.receive(datagram(frame({ src: DESTINATION })), { source: PEER });
    rig.send(frame({ dst: DESTINATION, src: STATION }));
    expect(rig.counters.passages(SEGMENT.index).flooded).toBe(0);
  });
});
