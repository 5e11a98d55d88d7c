import { describe, expect, it } from 'vitest';
import type { Refused } from '../../control/control-plane.ts';
import { parseMac } from '../../lib/addresses.ts';
import { UNUSED_REASONS, type UnusedReason } from '../evpn-status.ts';
import { type EvpnRoute, INGRESS_REPLICATION } from '../route.ts';
import { announce, floodRoute, ip, mac, macRoute, segment, Told, target, withdraw } from './remote-rig.ts';
import { RemoteRoutes } from './remote-routes.ts';

const [TWO, THREE] = ['198.18.0.2', '198.18.0.3'];

function newRoutes(...segments: readonly ReturnType<typeof segment>[]) {
  const routes = new RemoteRoutes();
  const told = new Told();
  for (const each of segments.length > 0 ? segments : [segment(100)]) routes.segmentUpdated(each);
  const learn = (...list: readonly EvpnRoute[]) => {
    announce(routes, ...list);
    return told.drain(routes).all;
  };
  return { routes, told, learn, drain: () => told.drain(routes).all };
}

const refusedMacs = (...macs: Refused['macs']): Refused => ({ floods: [], macs, neighbours: [] });

describe('import', () => {
  it('takes the route targets that others derive from the VNI, of any AS', () => {
    const { routes, learn } = newRoutes();
    for (const [i, targets] of [
      [target(1, 100)],
      [target(65_001, 0x1000_0064)],
      [target(1, 5), { form: 'as4' as const, admin: 4_200_000_000, value: 100 }],
    ].entries())
      announce(routes, macRoute(TWO, { mac: mac(i), targets }));
    const none = [
      [{ form: 'ipv4' as const, admin: 1, value: 100 }],
      [target(1, 101)],
      [target(100, 1)],
      [target(1, 0x2000_0064)],
      [],
    ];
    for (const [i, targets] of none.entries()) announce(routes, macRoute(TWO, { mac: mac(16 + i), targets }));
    expect(learn()).toEqual({ [`100 ${mac(0)}`]: TWO, [`100 ${mac(1)}`]: TWO, [`100 ${mac(2)}`]: TWO });
  });

  it('takes only its own route targets where it has some', () => {
    const { learn } = newRoutes(segment(100, { targets: [target(1, 7)] }));
    const routes = [target(1, 7), target(2, 7), target(1, 100)].map((each, i) =>
      macRoute(TWO, { mac: mac(i), targets: [each] }),
    );
    expect(learn(...routes)).toEqual({ [`100 ${mac(0)}`]: TWO });
  });

  it('gives a route to the VNI of its label among those that import it', () => {
    const targets = [target(1, 7)];
    const { routes, learn } = newRoutes(segment(100, { targets }), segment(200, { targets }));
    expect(learn(macRoute(TWO, { targets, label: 200 }))).toEqual({ [`200 ${mac(1)}`]: TWO });
    expect(learn(macRoute(TWO, { targets, label: 300 }))).toEqual({ [`200 ${mac(1)}`]: TWO });
    expect([...routes.rows()].map(({ vni, label, unused }) => ({ vni, label, unused }))).toEqual([
      { vni: 200, label: 200, unused: undefined },
      { vni: 100, label: 300, unused: 'label' },
    ]);
  });

  it('follows a change of the route targets, of the control and of the own addresses', () => {
    const { routes, learn, drain } = newRoutes();
    const all = learn(macRoute(TWO), floodRoute(TWO));
    const change = (changes: Partial<ReturnType<typeof segment>>) => {
      routes.segmentUpdated({ ...segment(100), ...changes });
      return drain();
    };
    expect(change(segment(100, { targets: [target(1, 1)] }))).toEqual({});
    expect(change(segment(100, { targets: [target(1, 1), target(65_000, 100)] }))).toEqual(all);
    expect(change(segment(100, { control: 'multicast' }))).toEqual({});
    expect(change(segment(100, { control: 'both' }))).toEqual(all);
    expect(change({ local: [ip(TWO)] })).toEqual({});
    expect(change({ local: [] })).toEqual(all);
  });

  it('gives the routes that came first to a segment that is added', () => {
    const { routes, learn, drain } = newRoutes(segment(200));
    expect(learn(macRoute(TWO), floodRoute(TWO))).toEqual({});
    routes.segmentUpdated(segment(100));
    expect(drain()).toEqual({ [`100 ${mac(1)}`]: TWO, [`100 ${TWO}`]: 'floods' });
  });

  it('says nothing of a deleted segment, and all when it comes again', () => {
    const { routes, told, learn, drain } = newRoutes();
    const all = learn(macRoute(TWO, { ip: ip('192.0.2.1') }), floodRoute(TWO));
    announce(routes, macRoute(THREE, { mac: mac(2) }));
    routes.segmentRemoved(100);
    told.forget(100);
    expect(drain()).toEqual({});
    withdraw(routes, macRoute(THREE, { mac: mac(2) }));
    routes.segmentUpdated(segment(100));
    expect(drain()).toEqual(all);
    // Deleted and added before anything else happens.
    routes.segmentRemoved(100);
    told.forget(100);
    routes.segmentUpdated(segment(100));
    expect(drain()).toEqual(all);
  });
});

describe('selection', () => {
  const rank = (...list: readonly EvpnRoute[]) => newRoutes().learn(...list)[`100 ${mac(1)}`];

  it('prefers sticky, then the later sequence number, then the lower address', () => {
    expect(rank(macRoute(TWO, { sequence: 9 }), macRoute(THREE, { isSticky: true }))).toBe(`${THREE}!`);
    expect(rank(macRoute(TWO), macRoute(THREE, { sequence: 1 }))).toBe(THREE);
    expect(rank(macRoute(TWO, { sequence: 0xffff_fff0 }), macRoute(THREE, { sequence: 3 }))).toBe(THREE);
    expect(rank(macRoute('198.18.0.10'), macRoute('198.18.0.9'))).toBe('198.18.0.9');
    expect(rank(macRoute('198.18.0.9'), macRoute('198.18.0.10'))).toBe('198.18.0.9');
    expect(rank(macRoute(TWO, { nextHop: ip('fd00::1') }), macRoute(THREE))).toBe(THREE);
  });

  it('tells a MAC of the routes with an IP address alone, and keeps it while one stands', () => {
    const { routes, learn, drain } = newRoutes();
    const [both, alone] = [macRoute(TWO, { ip: ip('192.0.2.1') }), macRoute(TWO)];
    expect(learn(both)).toEqual({ [`100 ${mac(1)}`]: TWO, '100 192.0.2.1': mac(1) });
    announce(routes, alone);
    withdraw(routes, both);
    expect(drain()).toEqual({ [`100 ${mac(1)}`]: TWO });
    withdraw(routes, alone);
    expect(drain()).toEqual({});
  });

  it('reports MACs whose best route changed', () => {
    const { routes } = newRoutes();
    announce(routes, macRoute(TWO));
    expect(routes.best(100, mac(1))).toEqual({ vtep: TWO, sequence: 0, isSticky: false });
    expect(routes.takeChanged(10)).toEqual({ vni: 100, macs: [mac(1)] });
    expect(routes.takeChanged(10)).toBeUndefined();
    // The same once more with an address, and a worse one: no change.
    announce(routes, macRoute(TWO, { ip: ip('192.0.2.1') }), macRoute(THREE));
    expect(routes.takeChanged(10)).toBeUndefined();
    announce(routes, macRoute(THREE, { sequence: 1 }));
    expect(routes.takeChanged(10)).toEqual({ vni: 100, macs: [mac(1)] });
    expect(routes.best(100, mac(1))).toEqual({ vtep: THREE, sequence: 1, isSticky: false });
    withdraw(routes, macRoute(THREE), macRoute(TWO), macRoute(TWO, { ip: ip('192.0.2.1') }));
    expect(routes.takeChanged(10)).toEqual({ vni: 100, macs: [mac(1)] });
    expect(routes.best(100, mac(1))).toBeUndefined();
  });

  it('floods to the endpoint of the tunnel, else to the next hop, once however many routes say it', () => {
    const { routes, learn, drain } = newRoutes();
    const endpoint = (address: string | undefined) => ({
      pmsi: { tunnel: INGRESS_REPLICATION, label: 100, endpoint: address === undefined ? address : ip(address) },
    });
    expect(learn(floodRoute(TWO, endpoint('198.18.0.9')))).toEqual({ '100 198.18.0.9': 'floods' });
    expect(learn(floodRoute(THREE, endpoint('198.18.0.9')))).toEqual({ '100 198.18.0.9': 'floods' });
    withdraw(routes, floodRoute(TWO));
    expect(drain()).toEqual({ '100 198.18.0.9': 'floods' });
    expect(learn(floodRoute(THREE, endpoint(undefined)))).toEqual({ [`100 ${THREE}`]: 'floods' });
    expect(learn(floodRoute(THREE, endpoint('0.0.0.0')))).toEqual({ [`100 ${THREE}`]: 'floods' });
  });
});

describe('resynchronisation', () => {
  const list = [
    ...[macRoute(TWO), macRoute(TWO, { ip: ip('192.0.2.1') }), macRoute(THREE)],
    ...[floodRoute(TWO), floodRoute(THREE)],
  ];

  it('changes nothing when nothing changed', () => {
    const { routes, told, learn, drain } = newRoutes();
    const all = learn(...list);
    const { items } = told;
    while (routes.takeChanged(10));
    routes.beginGeneration();
    announce(routes, ...list);
    routes.sweep();
    expect(drain()).toEqual(all);
    expect(told.items).toBe(items);
    expect(routes.takeChanged(10)).toBeUndefined();
  });

  it('removes the routes that are not received again, and only after the sweep', () => {
    const { routes, learn, drain } = newRoutes();
    const all = learn(...list);
    routes.beginGeneration();
    announce(routes, macRoute(THREE), floodRoute(THREE));
    expect(drain()).toEqual(all);
    routes.sweep();
    expect(drain()).toEqual({ [`100 ${mac(1)}`]: THREE, [`100 ${THREE}`]: 'floods' });
    expect(routes.counts).toEqual({ type2: 1, type3: 1, other: 0 });
  });

  it('counts routes of other types anew', () => {
    const { routes } = newRoutes();
    const other = { type: 5, nextHop: undefined, targets: [] };
    routes.other(other);
    routes.other(other);
    expect(routes.counts.other).toBe(2);
    routes.beginGeneration();
    routes.other(other);
    expect(routes.counts.other).toBe(1);
  });

  it('removes all when the hold time is over', () => {
    const { routes, learn, drain } = newRoutes();
    learn(...list);
    routes.clear();
    expect(drain()).toEqual({});
    expect(routes.counts).toEqual({ type2: 0, type3: 0, other: 0 });
    expect([...routes.rows()]).toEqual([]);
  });
});

describe('refusals', () => {
  it('withdraws what a refused entry was to replace, and tells it again when the MAC is free', () => {
    const { routes, told, learn, drain } = newRoutes();
    learn(macRoute(TWO));
    announce(routes, macRoute(THREE, { sequence: 1 }));
    expect(told.take(routes, 10)).toBe(true);
    routes.refused(100, refusedMacs({ mac: mac(1), cause: 'full' }));
    expect(routes.inForce(100).macsIn).toBe(0);
    expect(drain()).toEqual({});
    announce(routes, macRoute(THREE, { sequence: 2 }));
    expect(drain()).toEqual({});
    routes.free(100, mac(1));
    expect(drain()).toEqual({ [`100 ${mac(1)}`]: THREE });
    expect(routes.inForce(100).macsIn).toBe(1);
  });

  it('tells a refused entry again when the route or the segment changes', () => {
    const { routes, told, learn } = newRoutes();
    announce(routes, macRoute(TWO));
    const refuse = () => {
      expect(told.take(routes, 10)).toBe(true);
      told.macs.clear();
      routes.refused(100, refusedMacs({ mac: mac(1), cause: 'outranked' }));
      expect(told.drain(routes).all).toEqual({});
    };
    refuse();
    announce(routes, macRoute(THREE, { sequence: 1 }));
    refuse();
    routes.segmentUpdated({ ...segment(100), local: [ip('198.18.0.1'), ip('198.18.0.100')] });
    refuse();
    withdraw(routes, macRoute(THREE));
    expect(learn()).toEqual({ [`100 ${mac(1)}`]: TWO });
  });

  it('tells all again, with the withdrawals of the last batch', () => {
    const { routes, told, learn } = newRoutes();
    const all = learn(floodRoute(TWO), macRoute(TWO, { ip: ip('192.0.2.1') }), macRoute(TWO, { mac: mac(2) }));
    withdraw(routes, macRoute(TWO, { mac: mac(2) }));
    expect(routes.take(10)?.batch.macs?.withdrawn).toEqual([mac(2)]);
    // The data path did not do it.
    routes.saidAgain(100);
    told.drain(routes);
    const { [`100 ${mac(2)}`]: _, ...left } = all;
    expect(told.all).toEqual(left);
    expect(routes.inForce(100)).toEqual({ vteps: [TWO], macsIn: 1, neighboursIn: 1 });
  });
});

describe('held MACs', () => {
  it('stay as they are, with their addresses, until they are released', () => {
    const { routes, learn, drain } = newRoutes();
    const all = learn(macRoute(TWO, { ip: ip('192.0.2.1') }));
    routes.setHeld(100, mac(1), true);
    withdraw(routes, macRoute(TWO, { ip: ip('192.0.2.1') }));
    announce(routes, macRoute(THREE, { sequence: 5 }), macRoute(THREE, { mac: mac(2), ip: ip('192.0.2.1') }));
    expect(drain()).toEqual({ ...all, [`100 ${mac(2)}`]: THREE });
    expect(routes.best(100, mac(1))?.vtep).toBe(THREE);
    routes.setHeld(100, mac(1), false);
    expect(drain()).toEqual({ [`100 ${mac(1)}`]: THREE, [`100 ${mac(2)}`]: THREE, '100 192.0.2.1': mac(2) });
  });
});

describe('entries that were held and are no longer asked for', () => {
  it('do not stay in the way of the next one with their key', () => {
    const { routes, learn, drain } = newRoutes();
    const [held, other] = [
      { mac: mac(1), ip: ip('192.0.2.1') },
      { mac: mac(2), ip: ip('192.0.2.1') },
    ];
    routes.setHeld(100, mac(1), true);
    learn(macRoute(TWO, held));
    withdraw(routes, macRoute(TWO, held));
    drain();
    learn(macRoute(TWO, other));
    routes.setHeld(100, mac(1), false);
    drain();
    withdraw(routes, macRoute(TWO, other));
    expect(drain()).toEqual({});
  });
});

describe('a full table', () => {
  it('is tried again, a part of the entries each time, and of all VNIs in turn', () => {
    const { routes, told, learn } = newRoutes(segment(100), segment(200));
    for (const label of [100, 200])
      for (const each of [1, 2]) announce(routes, macRoute(TWO, { mac: mac(each), label }));
    const tries: string[] = [];
    const refuseAll = () => {
      for (let next = routes.take(10); next; next = routes.take(10)) {
        const macs = next.batch.macs?.placed ?? [];
        tries.push(...macs.map((each) => `${next?.vni} ${each.mac.at(-1)}`));
        routes.refused(next.vni, refusedMacs(...macs.map((each) => ({ mac: each.mac, cause: 'full' as const }))));
      }
      return tries.splice(0);
    };
    expect(refuseAll()).toEqual(['100 1', '100 2', '200 1', '200 2']);
    expect(refuseAll()).toEqual([]);
    const retry = () => {
      routes.retryFull(1);
      return refuseAll()[0];
    };
    expect([retry(), retry(), retry(), retry(), retry()]).toEqual(['100 1', '200 1', '100 2', '200 2', '100 1']);
    routes.retryFull(10);
    expect(Object.keys(learn())).toHaveLength(4);
    routes.retryFull(10);
    expect(told.take(routes, 10)).toBe(false);
  });
});

describe('MACs behind the own TAP', () => {
  it('are not told, and are told when they have moved away', () => {
    const here = new Set<string>();
    const routes = new RemoteRoutes({ isHere: (vni, each) => here.has(`${vni} ${each}`) });
    const told = new Told();
    routes.segmentUpdated(segment(100));
    here.add(`100 ${mac(1)}`);
    announce(routes, macRoute(TWO, { ip: ip('192.0.2.1') }), macRoute(TWO));
    expect(told.drain(routes).all).toEqual({ '100 192.0.2.1': mac(1) });
    expect([...routes.rows()].map(({ unused }) => unused)).toEqual([undefined, 'not-best']);
    here.clear();
    routes.free(100, mac(1));
    expect(told.drain(routes).all).toEqual({ '100 192.0.2.1': mac(1), [`100 ${mac(1)}`]: TWO });
  });
});

describe('routes that are not used', () => {
  const pmsi = { tunnel: INGRESS_REPLICATION, label: 100, endpoint: ip(TWO) };
  const group = parseMac('01:00:5e:00:00:01') as ReturnType<typeof mac>;
  const zero = parseMac('00:00:00:00:00:00') as ReturnType<typeof mac>;
  const rows: Record<UnusedReason, readonly EvpnRoute[]> = {
    own: [macRoute('198.18.0.1'), floodRoute('198.18.0.1')],
    'no-target': [macRoute(TWO, { targets: [target(1, 99)] }), floodRoute(TWO, { targets: [], pmsi: undefined })],
    encapsulation: [macRoute(TWO, { tunnels: [10] }), floodRoute(TWO, { tunnels: [10], pmsi: undefined })],
    label: [
      macRoute(TWO, { label: 101, targets: [target(1, 100)] }),
      floodRoute(TWO, { pmsi: { ...pmsi, label: 0 } }),
      floodRoute(TWO, { pmsi: { ...pmsi, label: 1_600 } }),
    ],
    tag: [macRoute(TWO, { ethernetTag: 1 }), floodRoute(TWO, { ethernetTag: 100 })],
    'zero-mac': [macRoute(TWO, { mac: zero })],
    'group-mac': [macRoute(TWO, { mac: group })],
    'no-next-hop': [
      ...[undefined, ip('239.1.1.1'), ip('0.0.0.0'), ip('255.255.255.255'), ip('127.0.0.1'), ip('::')].map((nextHop) =>
        macRoute(TWO, { nextHop }),
      ),
      floodRoute(TWO, { nextHop: undefined, pmsi: { ...pmsi, endpoint: ip('224.0.0.1') } }),
    ],
    'no-tunnel': [floodRoute(TWO, { pmsi: undefined })],
    'tunnel-type': [3, 4].map((tunnel) => floodRoute(TWO, { pmsi: { tunnel, label: 0, endpoint: undefined } })),
    'not-best': [macRoute('198.18.0.20'), macRoute('198.18.0.20', { ip: ip('192.0.2.1') })],
    duplicate: [macRoute(TWO, { mac: mac(7) }), macRoute(TWO, { mac: mac(7), ip: ip('192.0.2.7') })],
    refused: [macRoute(TWO, { mac: mac(8) }), macRoute(TWO, { mac: mac(8), ip: ip('192.0.2.8') }), floodRoute(TWO)],
  };

  it.each(Object.keys(UNUSED_REASONS) as UnusedReason[])('says %s', (reason) => {
    for (const route of rows[reason]) {
      const { routes, told, learn } = newRoutes();
      learn(macRoute('198.18.0.10'), macRoute('198.18.0.10', { ip: ip('192.0.2.1') }));
      routes.setHeld(100, mac(7), true);
      announce(routes, route);
      const taken = routes.take(10);
      if (reason === 'refused') {
        routes.refused(100, {
          macs: (taken?.batch.macs?.placed ?? []).map((each) => ({ mac: each.mac, cause: 'full' })),
          neighbours: (taken?.batch.neighbours?.placed ?? []).map((each) => ({ ip: each.ip, cause: 'full' })),
          floods: (taken?.batch.floods?.added ?? []).map((vtep) => ({ vtep, cause: 'full' })),
        });
      } else {
        expect(taken, 'what is not used is not told').toBeUndefined();
      }
      told.drain(routes);
      const row = [...routes.rows()].at(-1);
      expect(row?.unused, JSON.stringify(route)).toBe(reason);
    }
  });

  it('shows a route in full', () => {
    const { routes, learn } = newRoutes();
    learn(macRoute(TWO, { ip: ip('192.0.2.1'), sequence: 3, isSticky: true }), floodRoute(THREE));
    const shared = { vni: 100, label: 100, targets: ['65000:100'], unused: undefined };
    expect([...routes.rows()]).toEqual([
      {
        ...{ ...shared, type: 2, rd: '198.18.0.2:100', mac: mac(1), ip: '192.0.2.1', vtep: TWO },
        ...{ sequence: 3, isSticky: true },
      },
      {
        ...{ ...shared, type: 3, rd: '198.18.0.3:100', mac: undefined, ip: undefined, vtep: THREE },
        ...{ sequence: undefined, isSticky: false },
      },
    ]);
  });

  it('does not count what the own speaker announces', () => {
    const { routes, learn } = newRoutes();
    routes.received({ route: macRoute(TWO), isLocal: true, isWithdrawn: false });
    expect(learn()).toEqual({});
    expect(routes.counts.type2).toBe(0);
    expect([...routes.rows()].map(({ unused }) => unused)).toEqual(['own']);
    // The same route from a peer.
    expect(learn(macRoute(TWO))).toEqual({ [`100 ${mac(1)}`]: TWO });
    expect(routes.counts.type2).toBe(1);
  });
});
