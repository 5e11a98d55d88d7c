/** Inner VLAN tags (T32), in both directions. */
import { describe, expect, it } from 'vitest';
import { LOCAL } from '../fdb/remotes.ts';
import { INNER_VLAN } from '../segment/segment.ts';
import { datagram, frame, newRig, PEER, SEGMENT, STATION } from './ladder-rig.ts';

const payloadOf = (inner: Uint8Array) => new Uint8Array(datagram(inner));

describe('inner VLAN tags from the underlay', () => {
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
    const { receive, taps, drops } = newRig();
    receive(datagram(frame({ tags })));
    expect(drops()).toEqual(isVlan ? { [`${SEGMENT.index} rx inner-vlan`]: 1 } : {});
    expect(taps.delivered.map((each) => each.frame)).toEqual(isVlan ? [] : [new Uint8Array(frame({ tags }))]);
  });

  it.each(rows)('%s with inner-vlan=strip: all tags go', (tags) => {
    const { receive, taps, counters } = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
    receive(datagram(frame({ tags })));
    expect(taps.delivered).toEqual([
      { tap: SEGMENT.tap, vnetHeader: new Uint8Array(10), frame: new Uint8Array(frame()) },
    ]);
    expect(counters.passed).toEqual([{ segment: SEGMENT.index, bytes: frame().length, packets: 1 }]);
  });

  it.each(rows)('%s with inner-vlan=pass: stays', (tags) => {
    const { receive, taps, whereIs } = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.pass }]);
    receive(datagram(frame({ tags })));
    expect(taps.delivered.map((each) => each.frame)).toEqual([new Uint8Array(frame({ tags }))]);
    expect(whereIs(STATION)).toBe(PEER);
  });

  it('are no tags where the frame ends inside of one', () => {
    const { receive, taps } = newRig();
    for (const length of [14, 15, 16, 17]) receive(datagram(frame({ tags: '81000005' }).subarray(0, length)));
    expect(taps.delivered.map((each) => each.frame.length)).toEqual([14, 15, 16, 17]);
  });
});

describe('inner VLAN tags from the TAP', () => {
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
    const { send, underlay, drops } = newRig();
    send(frame({ tags }));
    expect(drops()).toEqual(isVlan ? { [`${SEGMENT.index} tx inner-vlan`]: 1 } : {});
    expect(underlay.sent.map(({ payload }) => payload)).toEqual(isVlan ? [] : [payloadOf(frame({ tags }))]);
  });

  it.each(rows)('%s with inner-vlan=strip: all tags go, and with them their octets', (tags) => {
    const { send, underlay, whereIs } = newRig([
      { ...SEGMENT, innerVlan: INNER_VLAN.strip, maxFrameBytes: frame().length },
    ]);
    send(frame({ tags }));
    send(frame());
    expect(underlay.sent.map(({ payload }) => payload)).toEqual([payloadOf(frame()), payloadOf(frame())]);
    expect(underlay.sent[0]?.flow).toBe(underlay.sent[1]?.flow);
    expect(whereIs(STATION)).toBe(LOCAL);
  });

  it.each(rows)('%s with inner-vlan=pass: stays', (tags) => {
    const { send, underlay } = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.pass }]);
    send(frame({ tags }));
    expect(underlay.sent.map(({ payload }) => payload)).toEqual([payloadOf(frame({ tags }))]);
  });

  it('are no tags where the frame ends inside of one', () => {
    const { send, underlay } = newRig();
    for (const length of [14, 15, 16, 17]) send(frame({ tags: '81000005' }).subarray(0, length));
    expect(underlay.sent.map(({ payload }) => payload.length)).toEqual([22, 23, 24, 25]);
  });
});
