import { setImmediate } from 'node:timers/promises';
import { Compile } from 'typebox/compile';
import { describe, expect, it } from 'vitest';
import { type EvpnRoutesQuery, EvpnRoutesSchema, EvpnSchema } from '../api/evpn-schemas.ts';
import type { EvpnRouteRow, EvpnStatus } from '../evpn/evpn-status.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import { describeEvpn, listRoutes, readEvpn } from './evpn-view.ts';

const IP = '198.18.0.1' as IpAddress;

const STATUS: EvpnStatus = {
  session: {
    ...{ address: '127.0.0.1:50051', state: 'up', since: 1_000, error: undefined, dialect: 'v4', asn: 65_000 },
    ...{ routerId: IP, connections: 2 },
    peers: [{ address: '198.18.0.9', isEstablished: true, hasEvpn: true, isEndOfRib: false }],
  },
  ...{ routesIn: { type2: 1, type3: 2, other: 3 }, routesOut: { type2: 4, type3: 5 }, pending: 6, refused: 7 },
  vnis: [200, 100].map((vni) => ({
    ...{ vni, control: 'both', rd: undefined, importTargets: ['*:100'], exportTargets: [], vteps: [IP, IP] },
    ...{ macsIn: 1, neighboursIn: 2, macsOut: 3, neighboursOut: 4, isAnnounced: true },
  })),
};

const row = (number: number, differs: Partial<EvpnRouteRow> = {}): EvpnRouteRow => ({
  ...{ type: 2, vni: 100, rd: `198.18.0.2:${number}`, mac: '02:00:00:00:00:01' as MacAddress, ip: undefined },
  ...{ vtep: IP, label: 100, targets: ['65000:100'], sequence: undefined, isSticky: false, unused: undefined },
  ...differs,
});

async function listed(rows: Iterable<EvpnRouteRow>, query: EvpnRoutesQuery = {}) {
  const routes = [];
  for await (const slice of listRoutes(rows, query)) routes.push(...slice);
  return routes;
}

describe('the status', () => {
  it('has null for what is not known, and VNIs in order', () => {
    const { session, ...shown } = describeEvpn(STATUS, 66_900);
    expect(session).toEqual({
      ...{ address: '127.0.0.1:50051', state: 'up', since: 65, error: null, dialect: 'v4', asn: 65_000, routerId: IP },
      ...{ peers: [{ address: '198.18.0.9', established: true, evpn: true, endOfRib: false }], connections: 2 },
    });
    expect(shown.vnis.map(({ vni, vteps, rd, announced }) => [vni, vteps, rd, announced])).toEqual([
      [100, 2, null, true],
      [200, 2, null, true],
    ]);
    expect(shown).toMatchObject({ routesIn: STATUS.routesIn, routesOut: STATUS.routesOut, pending: 6, refused: 7 });
    expect(Compile(EvpnSchema).Check({ session, ...shown })).toBe(true);
  });

  it('of a session that never was', () => {
    const session = { ...STATUS.session, dialect: undefined, asn: undefined, routerId: undefined, since: 9e15 };
    const shown = describeEvpn({ ...STATUS, session }, 0);
    expect(shown.session).toMatchObject({ dialect: null, asn: null, routerId: null, since: 0 });
    expect(Compile(EvpnSchema).Check(shown)).toBe(true);
  });
});

it('counts established peers with l2vpn-evpn for Prometheus, and routes by type', () => {
  const [peer] = STATUS.session.peers;
  const peers = [peer, { ...peer, hasEvpn: false }, { ...peer, isEstablished: false }] as typeof STATUS.session.peers;
  const session = { ...STATUS.session, peers, state: 'syncing' as const };
  expect(readEvpn({ ...STATUS, session })).toMatchObject({
    isUp: false,
    connections: 2,
    peers: 1,
    pending: 6,
    refused: 7,
  });
  const { routes, vnis, isUp } = readEvpn(STATUS);
  expect(routes.map(({ direction, type, count }) => `${direction} ${type} ${count}`)).toEqual([
    ...['in 2 1', 'in 3 2', 'in other 3', 'out 2 4', 'out 3 5'],
  ]);
  expect([isUp, vnis[1]]).toEqual([true, { vni: 100, vteps: 2, macsIn: 1, macsOut: 3, isAnnounced: true }]);
});

describe('the routes', () => {
  const rows = [
    row(1),
    row(2, { vni: undefined, unused: 'no-target' }),
    row(3, { type: 3, ip: IP, unused: 'own' }),
    row(4, {
      type: 5,
      vni: undefined,
      rd: undefined,
      mac: undefined,
      vtep: undefined,
      label: undefined,
      unused: 'own',
    }),
    row(5, { vni: 200, sequence: 7, isSticky: true }),
  ];

  it.each<[EvpnRoutesQuery, number[]]>([
    [{}, [1, 2, 3, 4, 5]],
    [{ vni: 100 }, [1, 3]],
    [{ type: 2 }, [1, 2, 5]],
    [{ unused: true }, [2, 3, 4]],
    [{ unused: false }, [1, 5]],
    [{ vni: 100, type: 3, unused: true }, [3]],
    [{ vni: 300 }, []],
  ])('%j', async (query, numbers) => {
    const meant = await listed(rows.filter((_, i) => numbers.includes(i + 1)));
    expect(await listed(rows, query)).toEqual(meant);
    expect(meant).toHaveLength(numbers.length);
    expect(Compile(EvpnRoutesSchema).Check(meant)).toBe(true);
  });

  it('each has every property', async () => {
    expect((await listed(rows))[3]).toEqual({
      ...{ type: 5, vni: null, rd: null, mac: null, ip: null, vtep: null, label: null, targets: ['65000:100'] },
      ...{ sequence: null, sticky: false, unused: 'own' },
    });
  });

  it.each([[{}, 100_000] as const, [{ vni: 7 }, 0] as const])(
    '100,000 of them with %j: others have a turn each 1,000',
    async (query, count) => {
      const many = Array.from({ length: 100_000 }, (_, i) => row(i));
      let isDone = false;
      let turns = 0;
      const others = (async () => {
        for (; !isDone; turns++) await setImmediate();
      })();
      expect(await listed(many, query)).toHaveLength(count);
      isDone = true;
      await others;
      expect(turns).toBeGreaterThanOrEqual(100);
    },
  );
});
