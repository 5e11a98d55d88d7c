import fc from 'fast-check';
import type { ControlMode } from '../../config/config.ts';
import { type IpAddress, ipBytes, type MacAddress, notUnicast, parseMac } from '../../lib/addresses.ts';
import type { RouteTarget } from '../../lib/route-numbers.ts';
import type { EvpnRoute, FloodRoute, MacRoute, Path } from '../route.ts';
import type { ImportingSegment } from './remote-import.ts';
import { floodRoute, ip, mac, macRoute, segment, target } from './remote-rig.ts';

/** Random routes and segments, and a model that derives everything anew from all of them. */

/** Few of each, so that routes meet. */
const VTEPS = ['198.18.0.1', '198.18.0.2', '198.18.0.3', '198.18.0.10'];
export const VNIS = [100, 200, 300];
export const MACS = [mac(1), mac(2), mac(3), parseMac('01:00:5e:00:00:01') as MacAddress];
export const IPS = [ip('192.0.2.1'), ip('192.0.2.2')];
/** Around the wrap. */
const SEQUENCES = [0xffff_fffe, 0xffff_ffff, 0, 1, 2];
const COMMON = target(1, 7);
const TARGETS: readonly (readonly RouteTarget[])[] = [
  [COMMON],
  [target(65_000, 300), COMMON],
  [target(1, 0x1000_0064)],
  [],
];

const often = <T>(usual: T, ...rare: readonly T[]) =>
  fc.oneof({ arbitrary: fc.constant(usual), weight: 8 }, { arbitrary: fc.constantFrom(...rare), weight: 1 });
const anyVtep = fc.constantFrom(...VTEPS);
const anyVni = fc.constantFrom(...VNIS);
const anyBase = (vtep: string, label: number) => ({
  ethernetTag: often(0, 1),
  nextHop: often<IpAddress | undefined>(ip(vtep), undefined, ip('239.1.1.1'), ip('fd00::1'), ip('198.18.0.3')),
  targets: often<readonly RouteTarget[]>([target(65_000, label)], ...TARGETS),
  tunnels: often([8], [], [10], [10, 8]),
});

const anyMacRoute: fc.Arbitrary<MacRoute> = fc.tuple(anyVtep, anyVni).chain(([vtep, label]) =>
  fc
    .record({
      ...anyBase(vtep, label),
      mac: fc.constantFrom(...MACS),
      ip: fc.constantFrom(undefined, ...IPS),
      label: often(label, 300, 400),
      sequence: fc.constantFrom(...SEQUENCES),
      isSticky: often(false, true),
      esi: often('0'.repeat(20), '01'.repeat(10)),
    })
    .map((changes) => ({ ...macRoute(vtep, { label }), ...changes })),
);

const anyFloodRoute: fc.Arbitrary<FloodRoute> = fc.tuple(anyVtep, anyVni).chain(([vtep, label]) =>
  fc
    .record({
      ...anyBase(vtep, label),
      pmsi: fc.option(
        fc.record({
          tunnel: often(6, 3),
          label: often(label, 0),
          endpoint: often<IpAddress | undefined>(ip(vtep), undefined, ip('0.0.0.0'), ip('198.18.0.3')),
        }),
        { nil: undefined, freq: 8 },
      ),
    })
    .map((changes) => ({ ...floodRoute(vtep), rd: { ...floodRoute(vtep).rd, value: label }, ...changes })),
);

const anyRoute: fc.Arbitrary<EvpnRoute> = fc.oneof({ arbitrary: anyMacRoute, weight: 3 }, anyFloodRoute);

const anySegment: fc.Arbitrary<ImportingSegment> = fc
  .tuple(anyVni, often<ControlMode>('evpn', 'both', 'multicast'))
  .chain(([vni, control]) =>
    fc
      .record({
        targets: often<ImportingSegment['config']['targets']>([], 'rfc8365', [COMMON], [target(65_000, 300)]),
        local: often<readonly IpAddress[]>(
          [ip('198.18.0.1')],
          [],
          [ip('198.18.0.2')],
          [ip('198.18.0.1'), ip('fd00::1')],
        ),
      })
      .map(({ targets, local }) => ({ ...segment(vni, { control, targets }), local })),
  );

export type Step =
  | { readonly kind: 'received'; readonly path: Path }
  /** One of the routes that are there is withdrawn. */
  | { readonly kind: 'withdraw'; readonly which: number }
  | { readonly kind: 'segment'; readonly segment: ImportingSegment }
  | { readonly kind: 'no-segment'; readonly vni: number }
  /** All routes whose number is in `kept` are received again, the others are swept. */
  | { readonly kind: 'resync'; readonly kept: readonly boolean[] }
  | { readonly kind: 'clear' }
  | { readonly kind: 'slice' | 'take'; readonly limit: number }
  | { readonly kind: 'hold'; readonly vni: number; readonly mac: MacAddress; readonly isHeld: boolean }
  /** The own side says that the MAC is behind the own TAP, or no longer. */
  | { readonly kind: 'here'; readonly vni: number; readonly mac: MacAddress; readonly isHere: boolean }
  | { readonly kind: 'again'; readonly vni: number }
  | { readonly kind: 'look' };

const anyLimit = fc.integer({ min: 1, max: 4 });

export const anySteps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      arbitrary: fc.record({
        kind: fc.constant('received' as const),
        path: fc.record({ route: anyRoute, isLocal: often(false, true), isWithdrawn: fc.constant(false) }),
      }),
      weight: 20,
    },
    { arbitrary: fc.record({ kind: fc.constant('withdraw' as const), which: fc.nat(20) }), weight: 8 },
    { arbitrary: fc.record({ kind: fc.constant('segment' as const), segment: anySegment }), weight: 5 },
    { arbitrary: fc.record({ kind: fc.constant('no-segment' as const), vni: anyVni }), weight: 1 },
    {
      arbitrary: fc.record({
        kind: fc.constant('resync' as const),
        kept: fc.array(often(true, false), { minLength: 20, maxLength: 20 }),
      }),
      weight: 1,
    },
    { arbitrary: fc.record({ kind: fc.constant('clear' as const) }), weight: 1 },
    { arbitrary: fc.record({ kind: fc.constantFrom('slice' as const, 'take' as const), limit: anyLimit }), weight: 8 },
    {
      arbitrary: fc.record({
        ...{ kind: fc.constant('hold' as const), vni: anyVni, mac: fc.constantFrom(...MACS), isHeld: fc.boolean() },
      }),
      weight: 2,
    },
    {
      arbitrary: fc.record({
        ...{ kind: fc.constant('here' as const), vni: anyVni, mac: fc.constantFrom(...MACS), isHere: fc.boolean() },
      }),
      weight: 2,
    },
    { arbitrary: fc.record({ kind: fc.constant('again' as const), vni: anyVni }), weight: 1 },
    { arbitrary: fc.record({ kind: fc.constant('look' as const) }), weight: 3 },
  ),
  // Of the default size, most lists would be too short for routes to meet.
  { maxLength: 60, size: 'max' },
);

/** What the data path should have, from all routes and all segments. */
export class RemoteModel {
  readonly routes = new Map<string, { readonly route: EvpnRoute; readonly isLocal: boolean }>();
  readonly segments = new Map<number, ImportingSegment>();
  /** MACs behind the own TAP, which are not told. */
  readonly here = new Set<string>();

  received({ route, isLocal, isWithdrawn }: Path): void {
    const key = JSON.stringify(
      route.type === 2
        ? [2, route.rd, route.ethernetTag, route.mac, route.ip]
        : [3, route.rd, route.ethernetTag, route.originator],
    );
    if (isWithdrawn) this.routes.delete(key);
    else this.routes.set(key, { route, isLocal });
  }

  /** The routes that a VNI can use. */
  candidates(vni: number): readonly EvpnRoute[] {
    const { config } = this.segments.get(vni) ?? {};
    if (!config || config.control === 'multicast') return [];
    const targets = config.targets === 'rfc8365' ? [] : config.targets;
    const isImported = (each: RouteTarget) =>
      targets.length > 0
        ? targets.some((own) => own.form === each.form && own.admin === each.admin && own.value === each.value)
        : each.form !== 'ipv4' && (each.value === vni || each.value === vni + 0x1000_0000);
    const own = [...this.segments.values()].flatMap(({ local }) => local);
    return [...this.routes.values()].flatMap(({ route, isLocal }) => {
      const addresses = [route.nextHop, ...(route.type === 3 ? [route.pmsi?.endpoint] : [])];
      const isUsable =
        !isLocal &&
        !addresses.some((address) => address !== undefined && own.includes(address)) &&
        route.targets.some(isImported) &&
        (route.tunnels.length === 0 || route.tunnels.includes(8)) &&
        (route.type === 2 ? route.label : route.pmsi?.label) === vni &&
        route.ethernetTag === 0 &&
        (route.type === 2 ? !route.mac.startsWith('01') : route.pmsi?.tunnel === 6) &&
        vtepOf(route) !== undefined;
      return isUsable ? [route] : [];
    });
  }

  bestOf(vni: number, key: MacAddress): MacRoute | undefined {
    return this.macRoutes(vni)
      .filter((route) => route.mac === key)
      .sort(byPreference)[0];
  }

  neighbourOf(vni: number, key: IpAddress): MacRoute | undefined {
    return this.macRoutes(vni)
      .filter((route) => route.ip === key)
      .sort((one, other) => byPreference(one, other) || (one.mac < other.mac ? -1 : 1))[0];
  }

  macRoutes(vni: number): readonly MacRoute[] {
    return this.candidates(vni).flatMap((route) => (route.type === 2 ? [route] : []));
  }

  floods(vni: number): readonly IpAddress[] {
    return [
      ...new Set(this.candidates(vni).flatMap((route) => (route.type === 3 ? [vtepOf(route) as IpAddress] : []))),
    ];
  }

  /** As `Told.all`. */
  get all(): Record<string, string> {
    const all: Record<string, string> = {};
    for (const vni of VNIS) {
      for (const vtep of this.floods(vni)) all[`${vni} ${vtep}`] = 'floods';
      for (const key of MACS) {
        const best = this.bestOf(vni, key);
        if (best && !this.here.has(`${vni} ${key}`))
          all[`${vni} ${key}`] = `${best.nextHop}${best.isSticky ? '!' : ''}`;
      }
      for (const key of IPS) {
        const best = this.neighbourOf(vni, key);
        if (best) all[`${vni} ${key}`] = best.mac;
      }
    }
    return all;
  }
}

/** The VTEP that frames go to. */
export function vtepOf(route: EvpnRoute): IpAddress | undefined {
  const addresses = route.type === 2 ? [route.nextHop] : [route.pmsi?.endpoint, route.nextHop];
  return addresses.find((address) => address !== undefined && notUnicast(address) === undefined);
}

/** The sequence numbers of `SEQUENCES` in their order. */
function byPreference(one: MacRoute, other: MacRoute): number {
  const rank = ({ isSticky, sequence }: MacRoute) => Number(isSticky) * 10 + SEQUENCES.indexOf(sequence);
  const order = ({ nextHop }: MacRoute) => Buffer.from(ipBytes(nextHop as IpAddress));
  const [octets, others] = [order(one), order(other)];
  return rank(other) - rank(one) || octets.length - others.length || octets.compare(others);
}
