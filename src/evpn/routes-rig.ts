import fc from 'fast-check';
import { formatIp, formatMac, type IpAddress, type MacAddress } from '../lib/addresses.ts';
import type { RouteNumber } from '../lib/route-numbers.ts';
import { type EvpnRoute, type FloodRoute, INGRESS_REPLICATION, type MacRoute, NO_ESI, VXLAN_TUNNEL } from './route.ts';

/** Routes for tests: examples, and any that a VTEP may announce. */

export function macRoute(changes: Partial<MacRoute> = {}): MacRoute {
  return {
    type: 2,
    rd: { form: 'ipv4', admin: 0xc6120001, value: 100 },
    ethernetTag: 0,
    esi: NO_ESI,
    mac: formatMac(0x02000000, 0x0a01),
    ip: undefined,
    label: 100,
    nextHop: '198.18.0.1' as IpAddress,
    targets: [{ form: 'as2', admin: 65000, value: 100 }],
    tunnels: [VXLAN_TUNNEL],
    sequence: 0,
    isSticky: false,
    ...changes,
  };
}

export function floodRoute(changes: Partial<FloodRoute> = {}): FloodRoute {
  const vtep = '198.18.0.1' as IpAddress;
  return {
    type: 3,
    rd: { form: 'ipv4', admin: 0xc6120001, value: 100 },
    ethernetTag: 0,
    originator: vtep,
    nextHop: vtep,
    targets: [{ form: 'as2', admin: 65000, value: 100 }],
    tunnels: [VXLAN_TUNNEL],
    pmsi: { tunnel: INGRESS_REPLICATION, label: 100, endpoint: vtep },
    ...changes,
  };
}

/** Routes with all that a VTEP announces. Each is of a VNI of its own: GoBGP before 3.28 mixes the sequences of one MAC in several VNIs. */
export const EXAMPLE_ROUTES: Readonly<Record<string, EvpnRoute>> = {
  'a MAC': macRoute({ mac: '02:00:00:00:00:01' as MacAddress }),
  'a MAC with IPv4': macRoute({ mac: '02:00:00:00:00:02' as MacAddress, ip: '192.0.2.1' as IpAddress }),
  'a MAC with IPv6': macRoute({ mac: '02:00:00:00:00:03' as MacAddress, ip: '2001:db8::1' as IpAddress }),
  'a moved MAC': macRoute({ mac: '02:00:00:00:00:04' as MacAddress, sequence: 4_294_967_294 }),
  'a sticky MAC': macRoute({ mac: '02:00:00:00:00:05' as MacAddress, isSticky: true }),
  'a MAC of the highest VNI behind IPv6': macRoute({
    mac: '02:00:00:00:00:06' as MacAddress,
    label: 0xff_ffff,
    nextHop: 'fd00:18::1' as IpAddress,
  }),
  'a MAC with numbers of all forms': macRoute({
    mac: '02:00:00:00:00:07' as MacAddress,
    rd: { form: 'as4', admin: 4_200_000_000, value: 65_535 },
    targets: [
      { form: 'as2', admin: 65_535, value: 4_294_967_295 },
      { form: 'ipv4', admin: 0xffff_fffe, value: 65_535 },
      { form: 'as4', admin: 4_294_967_295, value: 1 },
    ],
  }),
  'a MAC with 40 targets': macRoute({
    mac: '02:00:00:00:00:08' as MacAddress,
    rd: { form: 'as2', admin: 65_000, value: 70_000 },
    targets: Array.from({ length: 40 }, (_, value) => ({ form: 'as2', admin: 65_000, value })),
  }),
  'a flood route': floodRoute(),
  'a flood route of IPv6': floodRoute({
    originator: 'fd00:18::1' as IpAddress,
    nextHop: 'fd00:18::1' as IpAddress,
    pmsi: { tunnel: 6, label: 0xabcdef, endpoint: 'fd00:18::1' as IpAddress },
  }),
};

const [uint16, uint24, uint32] = [16, 24, 32].map((bits) => fc.integer({ min: 0, max: 2 ** bits - 1 })) as [
  fc.Arbitrary<number>,
  fc.Arbitrary<number>,
  fc.Arbitrary<number>,
];

const anyNumber: fc.Arbitrary<RouteNumber> = fc.oneof(
  fc.record({ form: fc.constant('as2' as const), admin: uint16, value: uint32 }),
  fc.record({ form: fc.constantFrom('ipv4' as const, 'as4' as const), admin: uint32, value: uint16 }),
);

const anyIp: fc.Arbitrary<IpAddress> = fc
  .constantFrom(4, 16)
  .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
  .map(formatIp);

const anyBase = {
  rd: anyNumber,
  ethernetTag: uint32,
  nextHop: anyIp,
  targets: fc.uniqueArray(anyNumber, { maxLength: 40, selector: (target) => JSON.stringify(target) }),
  tunnels: fc.array(uint16, { maxLength: 3 }),
};

export const anyMacRoute: fc.Arbitrary<MacRoute> = fc.record({
  ...anyBase,
  type: fc.constant(2 as const),
  esi: fc.uint8Array({ minLength: 10, maxLength: 10 }).map((octets) => Buffer.from(octets).toString('hex')),
  mac: fc.tuple(uint32, uint16).map(([high, low]) => formatMac(high, low)),
  ip: fc.option(anyIp, { nil: undefined }),
  label: uint24,
  sequence: fc.oneof(fc.constant(0), uint32),
  isSticky: fc.boolean(),
});

export const anyFloodRoute: fc.Arbitrary<FloodRoute> = fc.record({
  ...anyBase,
  type: fc.constant(3 as const),
  originator: anyIp,
  pmsi: fc.option(
    fc.record({
      tunnel: fc.constantFrom(INGRESS_REPLICATION),
      label: uint24,
      endpoint: fc.option(anyIp, { nil: undefined }),
    }),
    { nil: undefined },
  ),
});
