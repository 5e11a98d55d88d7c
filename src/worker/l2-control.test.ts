/** Layer-2 control frames (`l2-control=`), in both directions. */
import { describe, expect, it } from 'vitest';
import { UNKNOWN } from '../fdb/fdb.ts';
import { ALL_CONTROL, CONTROL_PROTOCOLS, NO_CONTROL } from '../wire/link-local.ts';
import { datagram, frame, newRig, PEER, SEGMENT, STATION } from './ladder-rig.ts';

const DIGITS = Array.from({ length: 16 }, (_, digit) => digit);
const control = (digit: number) => frame({ dst: `0180c200000${digit.toString(16)}` });

/** What passes, by its last digit. */
const ROWS: readonly [asked: string, passing: number, digits: readonly number[]][] = [
  ['drop', NO_CONTROL, []],
  ['pass', ALL_CONTROL, DIGITS.filter((digit) => digit !== 1)],
  ['stp', 1 << CONTROL_PROTOCOLS.stp, [0]],
  ['lldp and lacp', (1 << CONTROL_PROTOCOLS.lldp) | (1 << CONTROL_PROTOCOLS.lacp), [2, 14]],
];

describe.each(ROWS)('l2-control: %s', (_, passing, digits) => {
  const segment = { ...SEGMENT, control: passing };
  const dropped = 16 - digits.length;

  it('from the underlay', () => {
    const { receive, taps, drops, whereIs } = newRig([segment]);
    for (const digit of DIGITS) receive(datagram(control(digit)));
    expect(taps.delivered.map((each) => each.frame)).toEqual(digits.map((digit) => new Uint8Array(control(digit))));
    expect(drops()).toEqual({ [`${SEGMENT.index} rx link-local`]: dropped });
    // A frame that is dropped teaches nothing.
    expect(whereIs(STATION)).toBe(digits.length > 0 ? PEER : UNKNOWN);
  });

  it('from the TAP, as floods', () => {
    const { send, underlay, drops } = newRig([segment]);
    for (const digit of DIGITS) send(control(digit));
    expect(new Set(underlay.sent.map(({ payload }) => (payload[8 + 5] as number) & 0xf))).toEqual(new Set(digits));
    expect(drops()).toEqual({ [`${SEGMENT.index} tx link-local`]: dropped });
  });

  it('in a train, each by its own address', () => {
    const rig = newRig([segment]);
    const all = [0, 0, 14, 14, 1, 1, 0].map((digit) => datagram(control(digit)));
    rig.receive(Buffer.concat(all), { segmentBytes: all[0]?.length ?? 0 });
    const passed = [0, 0, 14, 14, 1, 1, 0].filter((digit) => digits.includes(digit));
    expect(rig.taps.delivered.map((each) => (each.frame[5] as number) & 0xf)).toEqual(passed);
  });
});
