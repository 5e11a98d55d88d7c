/** MACs that move between hosts (RFC 7432 §15). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatMac, type MacAddress } from '../../lib/addresses.ts';
import { MAC_HOLD_SECONDS, MAX_MAC_MOVES, MAX_REMEMBERED_SEQUENCES, MAX_SEQUENCE_RAISES } from '../../lib/limits.ts';
import { MovesLab } from './moves-rig.ts';
import { changeText, ip, mac, newHost, segment, stations } from './own-rig.ts';
import type { MacClaim } from './own-routes.ts';

const OTHER = ip('192.0.2.9');
const claim = (sequence: number, different: Partial<MacClaim> = {}): MacClaim => ({
  ...{ vtep: OTHER, sequence, isSticky: false },
  ...different,
});

/** A host with segment 100, announced. */
function announcedHost() {
  const host = newHost();
  host.own.segmentUpdated(segment());
  host.settle();
  return host;
}

describe('a MAC that another VTEP announces too', () => {
  it('is announced with the next number when it is learned here', () => {
    const { own, settle } = announcedHost();
    own.rivalChanged(100, mac(1), claim(0), 0);
    own.stationsChanged(stations({ here: [mac(1)], neighbours: [{ mac: mac(1), ip: ip('10.0.0.1') }] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #1', 'add 100 01 10.0.0.1 at 192.0.2.1 #1']);
  });

  it.each([
    ['a later number', claim(1), true],
    ['the same number and a lower address', claim(0, { vtep: ip('192.0.2.0') }), true],
    ['the same number and a higher address', claim(0), false],
    ['an earlier number, over the wrap', claim(0xffff_ffff, { vtep: ip('192.0.2.0') }), false],
    ['a sticky route', claim(0, { isSticky: true }), true],
  ])('with %s: withdrawn here: %3$s', (_, best, isWithdrawn) => {
    const { own, settle } = announcedHost();
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    settle();
    own.rivalChanged(100, mac(1), best, 0);
    expect(settle().map(changeText)).toEqual(isWithdrawn ? ['remove 100 01 at 192.0.2.1'] : []);
    own.rivalChanged(100, mac(1), undefined, 0);
    expect(settle().map(changeText)).toEqual(isWithdrawn ? ['add 100 01 at 192.0.2.1'] : []);
  });

  it('keeps its number while it is away, and takes a later one when it is heard here again', () => {
    const { own, settle } = announcedHost();
    own.rivalChanged(100, mac(1), claim(6), 0);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    own.stationsChanged(stations({ gone: [mac(1)] }), 0);
    own.rivalChanged(100, mac(1), undefined, 0);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #7']);
    own.rivalChanged(100, mac(1), claim(8), 0);
    expect(settle().map(changeText)).toEqual(['remove 100 01 at 192.0.2.1 #7']);
    // The batch between the two has the last state only: it was never reported as gone.
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #9']);
  });

  it('keeps its number when the segment is deleted and added again, and of too many the newest', () => {
    const { own, settle } = announcedHost();
    const macs = Array.from({ length: MAX_REMEMBERED_SEQUENCES }, (_, number) => formatMac(0x0200_0001, number));
    const all = [mac(0xff), ...macs];
    for (const each of all) own.rivalChanged(100, each, claim(4), 0);
    own.stationsChanged(stations({ here: all }), 0);
    own.stationsChanged(stations({ gone: all }), 0);
    own.segmentRemoved(100, 0);
    own.segmentUpdated(segment());
    settle();
    const [first, last] = [macs[0] as MacAddress, macs.at(-1) as MacAddress];
    own.stationsChanged(stations({ here: [mac(0xff), first, last] }), 0);
    expect(settle().map(({ route }) => route.type === 2 && route.sequence)).toEqual([0, 5, 5]);
  });

  it('has the number after the other’s, however large that is, if it was never announced here', () => {
    const { own, settle } = announcedHost();
    own.rivalChanged(100, mac(1), claim(0xffff_fff0), 0);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #4294967281']);
  });

  it('is reported, and not announced, if the other says that it must not move', () => {
    const { own, alerts, settle } = announcedHost();
    own.rivalChanged(100, mac(1), claim(0, { isSticky: true }), 0);
    expect(alerts).toEqual([]);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect([settle(), alerts]).toEqual([[], [{ vni: 100, mac: mac(1), vtep: OTHER, cause: 'sticky-there' }]]);
    own.rivalChanged(100, mac(1), undefined, 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1']);
  });

  it('is reported, and stays announced, if it is static here', () => {
    const { own, alerts, settle } = announcedHost();
    own.stationsChanged(stations({ here: [{ mac: mac(1), origin: 'static' }] }), 0);
    settle();
    own.rivalChanged(100, mac(1), claim(9), 0);
    expect([settle(), alerts]).toEqual([[], [{ vni: 100, mac: mac(1), vtep: OTHER, cause: 'static-here' }]]);
  });
});

describe('a number that the speaker refuses as too low', () => {
  const REASON = 'invalid MAC mobility sequence number';

  it('is raised at once, for all routes of the MAC', () => {
    const { own, settle } = announcedHost();
    own.stationsChanged(stations({ here: [mac(1)], neighbours: [{ mac: mac(1), ip: ip('10.0.0.1') }] }), 0);
    for (const change of own.take(64)) own.refused(change, REASON, 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #1', 'add 100 01 10.0.0.1 at 192.0.2.1 #1']);
    expect(own.refusedRoutes).toBe(0);
  });

  it('is raised above the other VTEP’s, also that of a sticky route', () => {
    const { own, settle } = announcedHost();
    own.stationsChanged(stations({ here: [{ mac: mac(1), origin: 'static' }] }), 0);
    own.rivalChanged(100, mac(1), claim(41), 0);
    for (const change of own.take(64)) own.refused(change, REASON, 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #42 sticky']);
  });

  it('is not raised for ever', () => {
    const { own } = announcedHost();
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    const tried: number[] = [];
    for (let changes = own.take(64); changes.length > 0; changes = own.take(64)) {
      for (const change of changes) {
        tried.push(change.route.type === 2 ? change.route.sequence : -1);
        own.refused(change, REASON, 0);
      }
    }
    expect(tried).toEqual([0, 1, 3, 7, 15, 31, 63, 127, 255]);
    expect([tried.length - 1, own.refusedRoutes, own.pending]).toEqual([MAX_SEQUENCE_RAISES, 1, 0]);
  });
});

describe('a machine that moves', () => {
  it.each([
    [2, 0],
    [3, 0],
    [2, 0xffff_fe00],
  ])(
    '1,000 times between %i hosts from number %i on: the number grows each time, and one host announces it',
    (count, start) => {
      const lab = new MovesLab(count, start);
      lab.send(0);
      lab.deliverAll();
      expect(lab.announcers()).toEqual([[0, start]]);
      for (let move = 1; move <= 1_000; move++) {
        lab.wait(60);
        lab.send(move % count);
        lab.deliverAll();
        expect(lab.announcers()).toEqual([[move % count, (start + move) >>> 0]]);
      }
      expect([lab.alerts, lab.requests]).toEqual([[], 2_001]);
    },
  );

  it('in any order of events: the host that hears it last announces it alone', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), which: fc.nat({ max: 2 }) }) },
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('deliver' as const), which: fc.nat({ max: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), which: fc.nat({ max: 40 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat({ max: 2 }), fc.boolean(), (steps, last, isStrict) => {
        const lab = new MovesLab(3);
        lab.isStrict = isStrict;
        for (const { kind, which } of steps) lab[kind](which);
        lab.deliverAll();
        // It sends all the time, and is heard as soon as the data path has it elsewhere.
        for (let second = 0; second < 2 * MAC_HOLD_SECONDS; second++) {
          lab.send(last);
          lab.deliverAll();
          lab.wait(1);
          lab.deliverAll();
        }
        expect(lab.announcers().map(([index]) => index)).toEqual([last]);
      }),
      { numRuns: 500 },
    );
  });
});

it.each([false, true])(
  'a MAC that two machines claim for ever is held, and costs few messages; speakers that refuse: %s',
  (isStrict) => {
    const lab = new MovesLab(2);
    lab.isStrict = isStrict;
    const claimAll = () => {
      for (const index of [0, 1]) {
        lab.send(index);
        lab.deliverAll();
      }
    };
    for (let time = 0; time < 100; time++) claimAll();
    expect([lab.isHeld(0), lab.isHeld(1)]).toContain(true);
    expect(lab.announcers()).toHaveLength(1);
    expect(lab.alerts).toEqual(['duplicate']);
    const perHold = lab.requests;
    expect(perHold).toBeLessThanOrEqual(2 * MAX_MAC_MOVES + 2);
    const holds = 20;
    for (let second = 0; second < holds * MAC_HOLD_SECONDS; second++) {
      lab.wait(1);
      claimAll();
      expect(lab.announcers()).toHaveLength(1);
    }
    expect(lab.requests).toBeLessThanOrEqual((holds + 1) * perHold);
    // One of the machines is switched off: the other is announced after the hold.
    lab.wait(MAC_HOLD_SECONDS);
    lab.send(0);
    lab.deliverAll();
    lab.wait(MAC_HOLD_SECONDS + 1);
    lab.send(0);
    lab.deliverAll();
    expect(lab.announcers().map(([index]) => index)).toEqual([0]);
  },
);

it('a hold ends when no other VTEP announces the MAC, and when it is not here any more', () => {
  const hold = () => {
    const host = announcedHost();
    const { own } = host;
    for (let sequence = 0; !host.held.get(`100 ${mac(1)}`); sequence += 2) {
      own.rivalChanged(100, mac(1), claim(sequence), 0);
      own.stationsChanged(stations({ here: [mac(1)] }), 0);
    }
    host.settle();
    expect(host.texts()).toEqual(['100 flood 192.0.2.1']);
    return host;
  };
  const alone = hold();
  alone.own.rivalChanged(100, mac(1), undefined, 0);
  alone.settle();
  expect([alone.held.get(`100 ${mac(1)}`), alone.texts().length]).toEqual([false, 2]);
  const gone = hold();
  gone.own.stationsChanged(stations({ gone: [mac(1)] }), 0);
  expect(gone.held.get(`100 ${mac(1)}`)).toBe(false);
  const removed = hold();
  removed.own.segmentRemoved(100, 0);
  expect(removed.held.get(`100 ${mac(1)}`)).toBe(false);
});
