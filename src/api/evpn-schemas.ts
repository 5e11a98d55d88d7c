/** What the API says of BGP EVPN. */
import { type Static, Type } from 'typebox';
import { UNUSED_REASONS, type UnusedReason } from '../evpn/evpn-status.ts';
import { Count, closed, Ip, Mac, orNull, Vni } from './schemas.ts';

const RouteCounts = { type2: Count, type3: Count };
const Target = Type.String({ description: 'ADMIN:VALUE; `*:100` stands for any AS' });

/** `GET /v1/evpn`. */
export const EvpnSchema = Type.Object({
  session: Type.Object({
    address: Type.String({ description: 'as in `--evpn`' }),
    state: Type.Union(
      [Type.Literal('connecting'), Type.Literal('stale'), Type.Literal('syncing'), Type.Literal('up')],
      {
        description:
          '`connecting`: there is no connection; `stale`: there is none, and what was received is kept for the hold time; `syncing`: routes are being read; `up`',
      },
    ),
    since: Type.Integer({ minimum: 0, description: 'whole seconds since the state changed' }),
    error: Type.Union([Type.String(), Type.Null()], {
      description: 'why the last connection was lost or not made; null: none was',
    }),
    dialect: Type.Union([Type.Literal('v3'), Type.Literal('v4'), Type.Null()], {
      description: 'API of GoBGP; null: not connected',
    }),
    asn: orNull(Type.Integer({ minimum: 1 })),
    routerId: orNull(Ip),
    peers: Type.Array(
      Type.Object({
        address: Type.String(),
        established: Type.Boolean(),
        evpn: Type.Boolean({ description: 'l2vpn-evpn is configured for it' }),
        endOfRib: Type.Boolean({ description: 'its End-of-RIB for l2vpn-evpn was received' }),
      }),
      { description: 'BGP peers of the speaker' },
    ),
    connections: Type.Integer({ minimum: 0, description: 'connections since the start of vtepd' }),
  }),
  routesIn: Type.Object({ ...RouteCounts, other: Count }, { description: 'received routes' }),
  routesOut: Type.Object(RouteCounts, { description: 'own routes that the speaker has' }),
  pending: Type.Integer({ minimum: 0, description: 'changes of own routes that the speaker has not confirmed' }),
  refused: Type.Integer({ minimum: 0, description: 'own routes that the speaker refuses' }),
  vnis: Type.Array(
    Type.Object({
      vni: Vni,
      control: Type.Union([Type.Literal('evpn'), Type.Literal('both')]),
      rd: Type.Union([Type.String(), Type.Null()], {
        description: 'ADMIN:VALUE; null: not known before the first connection',
      }),
      importTargets: Type.Array(Target),
      exportTargets: Type.Array(Target),
      vteps: Type.Integer({ minimum: 0, description: 'VTEPs in its flood list by EVPN; `GET /v1/remotes` has them' }),
      macsIn: Type.Integer({ minimum: 0, description: 'routes of MACs in force' }),
      neighboursIn: Type.Integer({ minimum: 0, description: 'routes of IP addresses in force' }),
      macsOut: Type.Integer({ minimum: 0, description: 'routes of MACs that the speaker has from vtepd' }),
      neighboursOut: Type.Integer({ minimum: 0, description: 'routes of IP addresses, likewise' }),
      announced: Type.Boolean({ description: 'the speaker has its type 3 route' }),
    }),
    { description: 'sorted' },
  ),
});
export type Evpn = Static<typeof EvpnSchema>;

/** One line of `GET /v1/evpn/routes`. */
export const EvpnRouteSchema = Type.Object({
  type: Type.Integer({ minimum: 0, description: 'route type (RFC 7432 §7); 0: it cannot be read' }),
  vni: Type.Union([Vni, Type.Null()], { description: 'VNI that imports it; null: none does' }),
  rd: orNull(Type.String()),
  mac: orNull(Mac),
  ip: orNull(Ip),
  vtep: Type.Union([Ip, Type.Null()], { description: 'next hop of type 2, address of the tunnel of type 3' }),
  label: orNull(Count),
  targets: Type.Array(Type.String()),
  sequence: Type.Union([Count, Type.Null()], { description: 'MAC mobility (RFC 7432 §7.7)' }),
  sticky: Type.Boolean(),
  unused: Type.Union([Type.Unsafe<UnusedReason>({ type: 'string' }), Type.Null()], {
    description: `why it is not used: ${Object.entries(UNUSED_REASONS)
      .map(([name, why]) => `\`${name}\`: ${why}`)
      .join('; ')}; null: it is used`,
  }),
});
export type EvpnRoute = Static<typeof EvpnRouteSchema>;
export const EvpnRoutesSchema = Type.Array(EvpnRouteSchema);

/** `GET /v1/evpn/routes?…`; filters combine with AND. */
export const EvpnRoutesQuerySchema = closed({
  vni: Type.Optional(Vni),
  type: Type.Optional(Type.Integer({ minimum: 2, maximum: 3, description: 'a route type, 2 or 3' })),
  unused: Type.Optional(Type.Boolean({ description: "'true' or 'false'" })),
});
export type EvpnRoutesQuery = Static<typeof EvpnRoutesQuerySchema>;
