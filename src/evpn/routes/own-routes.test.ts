import { describe, expect, it } from 'vitest';
import { MAX_NEIGHBOURS_PER_MAC, OWN_NEIGHBOUR_STALE_SECONDS, SPEAKER_RETRY_SECONDS } from '../../lib/limits.ts';
import { changeText, IDENTITY, ip, mac, newHost, segment, stations, VTEP } from './own-rig.ts';

const SECOND = 1_000;

describe('what is announced', () => {
  it('a type 3 per family, with ingress replication to the own address', () => {
    const { own, speaker, settle } = newHost();
    own.segmentUpdated(segment({ local: [VTEP, ip('2001:db8::1')] }));
    settle();
    const rd = { form: 'ipv4', admin: 0xc633_6401, value: 100 };
    const route = (address: string) => ({
      type: 3,
      rd,
      ethernetTag: 0,
      nextHop: address,
      targets: [{ form: 'as2', admin: 65_000, value: 100 }],
      tunnels: [8],
      originator: address,
      pmsi: { tunnel: 6, label: 100, endpoint: address },
    });
    expect([...speaker.routes.values()]).toEqual([route(VTEP), route('2001:db8::1')]);
    expect(own.status(100)).toEqual({
      rd,
      exportTargets: [{ form: 'as2', admin: 65_000, value: 100 }],
      macsOut: 0,
      neighboursOut: 0,
      isAnnounced: true,
    });
  });

  it('a MAC, learned or static, and each of its addresses', () => {
    const { own, speaker, settle, texts } = newHost();
    own.segmentUpdated(segment());
    const here = [mac(1), { mac: mac(2), origin: 'static' as const }];
    const neighbours = [
      { mac: mac(1), ip: ip('10.0.0.1') },
      { mac: mac(1), ip: ip('fe80::1') },
      { mac: mac(3), ip: ip('10.0.0.3') },
    ];
    own.stationsChanged(stations({ here, neighbours }), 0);
    settle();
    expect(texts()).toEqual([
      '100 01 10.0.0.1 at 192.0.2.1',
      '100 01 at 192.0.2.1',
      '100 01 fe80::1 at 192.0.2.1',
      '100 02 at 192.0.2.1 sticky',
      '100 flood 192.0.2.1',
    ]);
    const route = [...speaker.routes.values()].find(({ type }) => type === 2);
    expect(route).toEqual({
      type: 2,
      rd: { form: 'ipv4', admin: 0xc633_6401, value: 100 },
      ethernetTag: 0,
      nextHop: VTEP,
      targets: [{ form: 'as2', admin: 65_000, value: 100 }],
      tunnels: [8],
      esi: '00000000000000000000',
      mac: mac(1),
      ip: undefined,
      label: 100,
      sequence: 0,
      isSticky: false,
    });
    expect(own.status(100)).toMatchObject({ macsOut: 2, neighboursOut: 2 });
    expect(own.routesOut).toEqual({ type2: 4, type3: 1 });
  });

  it.each([
    ['a VNI without EVPN', segment({ control: 'multicast' })],
    ['a VNI without an own address', segment({ local: [] })],
  ])('nothing of %s, before it has both', (_, without) => {
    const { own, settle, texts } = newHost();
    own.segmentUpdated(without);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect([settle(), own.status(100)]).toEqual([[], undefined]);
    own.segmentUpdated(segment());
    settle();
    expect(texts()).toEqual(['100 01 at 192.0.2.1', '100 flood 192.0.2.1']);
    own.segmentUpdated(without);
    settle();
    expect(texts()).toEqual([]);
  });

  it('MACs behind the IPv6 address if there is no other, and behind the IPv4 address once there is', () => {
    const { own, settle, texts } = newHost();
    own.segmentUpdated(segment({ local: [ip('2001:db8::1')] }));
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    settle();
    expect(texts()).toEqual(['100 01 at 2001:db8::1', '100 flood 2001:db8::1']);
    own.segmentUpdated(segment({ local: [ip('2001:db8::1'), VTEP] }));
    expect(settle().map(changeText)).toEqual(['add 100 flood 192.0.2.1', 'add 100 01 at 192.0.2.1']);
  });

  it('a MAC that was heard before its segment is known', () => {
    const { own, settle, texts } = newHost();
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    own.segmentUpdated(segment());
    settle();
    expect(texts()).toEqual(['100 01 at 192.0.2.1', '100 flood 192.0.2.1']);
  });

  it('nothing again, of a segment that is deleted, and of all at the end', () => {
    const { own, settle, texts } = newHost();
    for (const vni of [100, 200]) {
      own.segmentUpdated(segment({ vni }));
      own.stationsChanged(stations({ vni, here: [mac(1)], neighbours: [{ mac: mac(1), ip: ip('10.0.0.1') }] }), 0);
    }
    settle();
    own.segmentRemoved(100, 0);
    expect(settle().map(changeText)).toEqual([
      'remove 100 01 at 192.0.2.1',
      'remove 100 01 10.0.0.1 at 192.0.2.1',
      'remove 100 flood 192.0.2.1',
    ]);
    own.segmentUpdated(segment());
    settle();
    expect(texts()).toContain('100 flood 192.0.2.1');
    expect(texts()).not.toContain('100 01 at 192.0.2.1');
    own.withdrawAll();
    expect(own.isSettled).toBe(false);
    settle();
    expect([texts(), own.isSettled]).toEqual([[], true]);
    own.stationsChanged(stations({ here: [mac(2)] }), 0);
    own.segmentUpdated(segment({ vni: 300 }));
    expect(settle()).toEqual([]);
  });
});

it('two VNIs that exchange their route distinguishers, one after the other, are both announced', () => {
  const { own, settle, texts } = newHost();
  const [one, other] = [
    { form: 'as2', admin: 1, value: 1 },
    { form: 'ipv4', admin: 0xc633_6401, value: 100 },
  ] as const;
  own.segmentUpdated(segment({ rd: one }));
  own.segmentUpdated(segment({ vni: 1, rd: other }));
  settle();
  own.segmentUpdated(segment({ vni: 1, rd: one }));
  settle();
  expect([texts(), own.status(100)?.isAnnounced]).toEqual([['1 flood 192.0.2.1', '100 flood 192.0.2.1'], true]);
  own.segmentUpdated(segment({ rd: other }));
  expect(settle()).toEqual([]);
});

describe('requests', () => {
  it('the type 3 is first when a VNI comes, and last when it goes, after answers for all MACs', () => {
    const { own, speaker, settle } = newHost();
    own.stationsChanged(stations({ here: [mac(1), mac(2)] }), 0);
    own.segmentUpdated(segment());
    expect(settle().map(changeText)[0]).toBe('add 100 flood 192.0.2.1');
    own.withdrawAll();
    const changes = own.take(64);
    expect(changes.map(changeText)).toEqual(['remove 100 01 at 192.0.2.1', 'remove 100 02 at 192.0.2.1']);
    for (const change of changes) {
      expect(own.take(64)).toEqual([]);
      speaker.do(change);
      own.done(change);
    }
    expect(own.take(64).map(changeText)).toEqual(['remove 100 flood 192.0.2.1']);
  });

  it('none for a MAC that comes and goes, or goes and comes, in between', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    settle();
    own.stationsChanged(stations({ here: [mac(2)] }), 0);
    own.stationsChanged(stations({ gone: [mac(2), mac(1)] }), 0);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect([own.pending, settle()]).toEqual([0, []]);
  });

  it('none for a MAC that a full state in several batches has again, and a withdrawal at its end for one that it does not have', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1), mac(2), mac(3), mac(4)] }), 0);
    settle();
    own.stationsChanged(stations({ isWhole: true, endsWhole: false, here: [mac(1)] }), 0);
    own.stationsChanged(stations({ neighbours: [{ mac: mac(1), ip: ip('10.0.0.1') }] }), 0);
    own.stationsChanged(stations({ here: [mac(2)] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 10.0.0.1 at 192.0.2.1']);
    own.stationsChanged(stations({ endsWhole: true, here: [mac(3)] }), 0);
    expect(settle().map(changeText)).toEqual(['remove 100 04 at 192.0.2.1']);
  });

  it('one at a time for a route, the last state after it', () => {
    const { own, speaker } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    const [flood, add] = own.take(64);
    if (!flood || !add) throw new Error('two changes');
    own.stationsChanged(stations({ gone: [mac(1)] }), 0);
    expect([own.take(64), own.pending]).toEqual([[], 2]);
    speaker.do(add);
    own.done(add);
    expect(own.take(64).map(changeText)).toEqual(['remove 100 01 at 192.0.2.1']);
    own.done(flood);
    expect(own.pending).toBe(1);
  });

  it('as many as asked for', () => {
    const { own } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1), mac(2), mac(3)] }), 0);
    expect([own.take(0).length, own.take(2).length, own.take(64).length, own.pending]).toEqual([0, 2, 2, 4]);
  });

  it('a refused route waits, and no other waits with it', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    const [flood] = own.take(1);
    if (!flood) throw new Error('a change');
    own.refused(flood, 'no', 0);
    expect([own.refusedRoutes, own.pending, own.isSettled, own.status(100)?.isAnnounced]).toEqual([1, 0, true, false]);
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1']);
    own.tick(SPEAKER_RETRY_SECONDS * SECOND - 1);
    expect(own.pending).toBe(0);
    own.tick(SPEAKER_RETRY_SECONDS * SECOND);
    expect([own.refusedRoutes, settle().map(changeText)]).toEqual([0, ['add 100 flood 192.0.2.1']]);
  });

  it('a refused route is not refused any more when it is not wanted, or another is', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    for (const change of own.take(64)) own.refused(change, 'no', 0);
    expect(own.refusedRoutes).toBe(2);
    own.stationsChanged(stations({ gone: [mac(1)] }), 0);
    expect([own.refusedRoutes, own.pending]).toEqual([1, 0]);
    own.segmentUpdated(segment({ targets: 'rfc8365' }));
    expect([own.refusedRoutes, settle().map(changeText)]).toEqual([0, ['add 100 flood 192.0.2.1']]);
  });

  it('a request without an answer is sent again', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    for (const change of own.take(64)) own.failed(change);
    expect(settle().map(changeText)).toEqual(['add 100 flood 192.0.2.1']);
    own.withdrawAll();
    for (const change of own.take(64)) own.failed(change);
    expect(settle().map(changeText)).toEqual(['remove 100 flood 192.0.2.1']);
  });
});

describe('a lost connection', () => {
  it('announces all again to a speaker that lost them', () => {
    const { own, speaker, settle, texts } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    settle();
    const before = texts();
    own.speakerLost();
    speaker.routes.clear();
    expect([own.take(64), own.status(100)?.macsOut]).toEqual([[], 0]);
    own.speakerKnown(IDENTITY);
    settle();
    expect(texts()).toEqual(before);
  });

  it('adopts what the speaker still has, and withdraws what changed meanwhile', () => {
    const { own, speaker, settle } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1), mac(2)] }), 0);
    settle();
    own.speakerLost();
    own.stationsChanged(stations({ here: [mac(3)], gone: [mac(2)] }), 0);
    own.speakerKnown(IDENTITY);
    for (const route of speaker.list()) own.found({ route, isLocal: true, isWithdrawn: false }, 0);
    expect(settle().map(changeText).sort()).toEqual(['add 100 03 at 192.0.2.1', 'remove 100 02 at 192.0.2.1']);
  });

  it('ignores answers to requests of the former connection', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    const changes = own.take(64);
    own.speakerLost();
    own.speakerKnown(IDENTITY);
    for (const change of changes) own.done(change);
    expect(settle().map(changeText)).toEqual(['add 100 flood 192.0.2.1']);
  });

  it('changes all routes if AS or router id are others', () => {
    const { own, settle, texts } = newHost();
    own.segmentUpdated(segment());
    settle();
    own.speakerLost();
    own.speakerKnown({ asn: 65_001, routerId: ip('198.51.100.2') });
    settle();
    expect(texts()).toEqual(['100 flood 192.0.2.1']);
    expect(own.status(100)).toMatchObject({ rd: { admin: 0xc633_6402 }, exportTargets: [{ admin: 65_001 }] });
  });
});

describe('what the speaker already has', () => {
  it('of a former run is withdrawn, its sequence numbers are kept, and routes of others stay', () => {
    const former = newHost();
    former.own.segmentUpdated(segment());
    former.own.segmentUpdated(segment({ vni: 70_000 }));
    former.own.rivalChanged(100, mac(1), { vtep: ip('192.0.2.2'), sequence: 4, isSticky: false }, 0);
    former.own.stationsChanged(stations({ here: [mac(1), mac(2)] }), 0);
    former.settle();
    expect(former.texts()).toContain('100 01 at 192.0.2.1 #5');
    const foreign = newHost({ identity: { ...IDENTITY, routerId: ip('198.51.100.9') } });
    foreign.own.segmentUpdated(segment());
    foreign.settle();
    const { own, settle } = newHost({ stored: former.own.rdNumbers });
    own.segmentUpdated(segment());
    for (const route of [...former.speaker.list(), ...foreign.speaker.list()]) {
      own.found({ route, isLocal: true, isWithdrawn: false }, 0);
      own.found({ route, isLocal: false, isWithdrawn: false }, 0);
    }
    expect(settle().map(changeText)).toEqual([
      'remove 100 01 at 192.0.2.1 #5',
      'remove 100 02 at 192.0.2.1',
      'remove 1 flood 192.0.2.1',
    ]);
    own.stationsChanged(stations({ here: [mac(1), mac(2)] }), 0);
    expect(settle().map(changeText)).toEqual(['add 100 01 at 192.0.2.1 #5', 'add 100 02 at 192.0.2.1']);
  });

  it('is not adopted once requests are sent: then it is an echo, or a late one', () => {
    const { own, speaker, settle } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1)] }), 0);
    settle();
    const [, route] = speaker.list();
    if (route?.type !== 2) throw new Error('a MAC');
    own.found({ route: { ...route, sequence: 7 }, isLocal: true, isWithdrawn: false }, 0);
    expect(settle()).toEqual([]);
    own.stationsChanged(stations({ gone: [mac(1)] }), 0);
    settle();
    own.found({ route, isLocal: true, isWithdrawn: false }, 0);
    expect(settle()).toEqual([]);
  });

  it('is announced again if somebody else withdraws it', () => {
    const { own, speaker, settle } = newHost();
    own.segmentUpdated(segment());
    settle();
    for (const route of speaker.list()) own.found({ route, isLocal: true, isWithdrawn: true }, 0);
    expect(settle().map(changeText)).toEqual(['add 100 flood 192.0.2.1']);
  });
});

describe('neighbours', () => {
  const heard = (station: number, address: string) => ({ mac: mac(station), ip: ip(address) });

  it('go with their MAC, and are back with it if that is soon', () => {
    const { own, settle, texts } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1)], neighbours: [heard(1, '10.0.0.1')] }), 0);
    own.stationsChanged(stations({ gone: [mac(1)] }), 0);
    settle();
    expect(texts()).toEqual(['100 flood 192.0.2.1']);
    own.tick(29 * SECOND);
    own.stationsChanged(stations({ here: [mac(1)] }), 29 * SECOND);
    settle();
    expect(texts()).toContain('100 01 10.0.0.1 at 192.0.2.1');
    own.stationsChanged(stations({ gone: [mac(1)] }), 29 * SECOND);
    own.tick(59 * SECOND);
    own.stationsChanged(stations({ here: [mac(1)] }), 59 * SECOND);
    settle();
    expect(texts()).toEqual(['100 01 at 192.0.2.1', '100 flood 192.0.2.1']);
  });

  it('move to another MAC that is heard with the address', () => {
    const { own, settle } = newHost();
    own.segmentUpdated(segment());
    own.stationsChanged(stations({ here: [mac(1), mac(2)], neighbours: [heard(1, '10.0.0.1')] }), 0);
    settle();
    own.stationsChanged(stations({ neighbours: [heard(2, '10.0.0.1')] }), 0);
    expect(settle().map(changeText).sort()).toEqual([
      'add 100 02 10.0.0.1 at 192.0.2.1',
      'remove 100 01 10.0.0.1 at 192.0.2.1',
    ]);
  });

  it('are bounded for a MAC: one more replaces only what was not heard for long', () => {
    const { own, settle, texts } = newHost();
    own.segmentUpdated(segment());
    const claims = (first: number, count: number) =>
      Array.from({ length: count }, (_, index) => heard(1, `10.0.1.${first + index}`));
    own.stationsChanged(stations({ here: [mac(1)], neighbours: claims(0, MAX_NEIGHBOURS_PER_MAC) }), 0);
    settle();
    own.stationsChanged(stations({ neighbours: claims(100, 100) }), SECOND);
    expect([settle(), own.refusedNeighbours]).toEqual([[], 100]);
    const later = OWN_NEIGHBOUR_STALE_SECONDS * SECOND;
    own.stationsChanged(stations({ neighbours: [heard(1, '10.0.1.0')] }), later - 1);
    own.stationsChanged(stations({ neighbours: [heard(1, '10.0.1.200')] }), later);
    expect(settle().map(changeText).sort()).toEqual([
      'add 100 01 10.0.1.200 at 192.0.2.1',
      'remove 100 01 10.0.1.1 at 192.0.2.1',
    ]);
    expect(texts()).toHaveLength(MAX_NEIGHBOURS_PER_MAC + 2);
  });
});
