import { type Definition, defineFamily } from './metric-definition.ts';

/** BGP EVPN. */
export interface EvpnReading {
  /** Connected, and all routes are in step. */
  readonly isUp: boolean;
  readonly connections: number;
  /** Peers with l2vpn-evpn whose session is established. */
  readonly peers: number;
  readonly routes: readonly { readonly direction: 'in' | 'out'; readonly type: string; readonly count: number }[];
  readonly pending: number;
  readonly refused: number;
  readonly vnis: readonly EvpnVniReading[];
}

interface EvpnVniReading {
  readonly vni: number;
  /** In its flood list by EVPN. */
  readonly vteps: number;
  readonly macsIn: number;
  readonly macsOut: number;
  readonly isAnnounced: boolean;
}

/** The part of a page that these families read. */
interface EvpnPage {
  /** undefined: there is no EVPN. */
  readonly evpn?: EvpnReading | undefined;
}

const evpn = ({ evpn }: EvpnPage) => (evpn ? [evpn] : []);
const vnis = ({ evpn }: EvpnPage) => evpn?.vnis ?? [];
const define = <Item>(definition: Definition<EvpnPage, Item>) => defineFamily(definition);

export const EVPN_FAMILIES = [
  define({
    name: 'vtep_evpn_session_up',
    ...{ help: '1 while connected to the BGP speaker with all routes in step, else 0', type: 'gauge' },
    items: evpn,
    samples: ({ isUp }) => [{ labels: {}, value: isUp ? 1 : 0 }],
  }),
  define({
    ...{ name: 'vtep_evpn_connections_total', help: 'Connections to the BGP speaker', type: 'counter' },
    items: evpn,
    samples: ({ connections }) => [{ labels: {}, value: connections }],
  }),
  define({
    name: 'vtep_evpn_peers_established',
    ...{ help: 'Established BGP peers of the speaker that have l2vpn-evpn', type: 'gauge' },
    items: evpn,
    samples: ({ peers }) => [{ labels: {}, value: peers }],
  }),
  define({
    ...{ name: 'vtep_evpn_routes', help: 'EVPN routes received (in) and announced (out)', type: 'gauge' },
    items: evpn,
    samples: ({ routes }) =>
      routes.map(({ direction, type, count }) => ({ labels: { direction, type }, value: count })),
  }),
  define({
    name: 'vtep_evpn_pending_changes',
    ...{ help: 'Changes of own routes that the BGP speaker has not confirmed', type: 'gauge' },
    items: evpn,
    samples: ({ pending }) => [{ labels: {}, value: pending }],
  }),
  define({
    ...{ name: 'vtep_evpn_refused_routes', help: 'Own routes that the BGP speaker refuses', type: 'gauge' },
    items: evpn,
    samples: ({ refused }) => [{ labels: {}, value: refused }],
  }),
  define({
    ...{ name: 'vtep_evpn_vteps', help: 'VTEPs in the flood list of a VNI by EVPN', type: 'gauge' },
    items: vnis,
    samples: ({ vni, vteps }) => [{ labels: { vni }, value: vteps }],
  }),
  define({
    name: 'vtep_evpn_mac_routes',
    ...{ help: 'MAC routes of a VNI in force (in) and announced (out)', type: 'gauge' },
    items: vnis,
    samples: ({ vni, macsIn, macsOut }) => [
      { labels: { vni, direction: 'in' }, value: macsIn },
      { labels: { vni, direction: 'out' }, value: macsOut },
    ],
  }),
  define({
    name: 'vtep_evpn_vni_announced',
    ...{ help: '1 while the BGP speaker has the type 3 route of the VNI, else 0', type: 'gauge' },
    items: vnis,
    samples: ({ vni, isAnnounced }) => [{ labels: { vni }, value: isAnnounced ? 1 : 0 }],
  }),
];
