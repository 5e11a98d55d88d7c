import { describe, expect, test } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import { type EvpnRoute, keyOf, type OtherRoute, type Path } from '../route.ts';
import { EXAMPLE_ROUTES } from '../routes-rig.ts';
import { GOLDEN_VERSIONS, meaningOf, readGolden } from './golden-rig.ts';

const isPath = (one: Path | OtherRoute): one is Path => 'route' in one;

describe.each(GOLDEN_VERSIONS)('messages of gobgpd %s', (version) => {
  const { global, peers, listed, changes } = meaningOf(readGolden(version));

  const foreign = (mac: string) => {
    const found = listed.filter(isPath).find(({ route }) => route.type === 2 && route.mac === mac);
    expect(found).toMatchObject({ isLocal: false, isWithdrawn: false });
    return found?.route;
  };

  test('say who it is, and its peers', () => {
    expect(global).toEqual({ asn: 65_000, routerId: '198.18.0.1' });
    const isEndOfRib = false;
    expect(peers).toEqual([{ address: '198.18.0.2', isEstablished: true, hasEvpn: true, isEndOfRib }]);
  });

  test('have the routes of this host as they were announced, in the list and as changes', () => {
    const byKey = (one: EvpnRoute, two: EvpnRoute) => (keyOf(one) < keyOf(two) ? -1 : 1);
    const announced = Object.values(EXAMPLE_ROUTES).sort(byKey);
    for (const told of [listed, changes]) {
      const local = told.filter(isPath).filter(({ isLocal }) => isLocal);
      expect(local.map(({ route }) => route).sort(byKey)).toEqual(announced);
    }
  });

  test('have the routes of others', () => {
    expect(foreign('02:00:00:00:00:21')).toMatchObject({ isSticky: true, sequence: 0, tunnels: [] });
    const targets = [{ form: 'as2', admin: 65_000, value: 100 }];
    expect(foreign('02:00:00:00:00:22')).toMatchObject({ isSticky: false, targets, nextHop: '198.18.0.2' });
    const segment = { esi: '00112233445566778899', ethernetTag: 7, label: 100, ip: '192.0.2.1' as IpAddress };
    expect(foreign('02:00:00:00:00:23')).toMatchObject(segment);
    expect(foreign('02:00:00:00:00:24')).toMatchObject({ targets: [] });
  });

  test('have flood routes with another tunnel, and without one', () => {
    const floods = listed
      .filter(isPath)
      .flatMap(({ route }) => (route.type === 3 && route.ethernetTag > 0 ? route : []));
    expect(floods.map(({ ethernetTag, pmsi }) => [ethernetTag, pmsi])).toEqual([
      [7, { tunnel: 3, label: 100, endpoint: undefined }],
      [8, undefined],
    ]);
  });

  test('have routes of other types, of which the number is kept', () => {
    for (const told of [listed, changes]) {
      const others = told.flatMap((one) => (isPath(one) ? [] : one));
      expect(others.map(({ type, nextHop }) => [type, nextHop])).toEqual([1, 4, 5].map((type) => [type, '198.18.0.2']));
    }
  });

  test('have a withdrawal with the key of the route', () => {
    const gone = changes.filter(isPath).filter(({ isWithdrawn }) => isWithdrawn);
    expect(gone.map(({ route }) => keyOf(route))).toEqual(['3 ipv4 3323068418:9 0 198.18.0.1']);
  });
});
