import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { Dialect, Peer } from './speaker.ts';

/**
 * The state of the session with the BGP speaker.
 *
 * | state        | means                                                                          |
 * | ------------ | ------------------------------------------------------------------------------ |
 * | `connecting` | there is no connection, and the hold time is over or nothing was ever received |
 * | `stale`      | there is no connection; what was received is kept until the hold time is over  |
 * | `syncing`    | connected; routes are read, or a peer has not sent its End-of-RIB              |
 * | `up`         | connected, and all routes are in step                                          |
 */
export const SESSION_STATES = ['connecting', 'stale', 'syncing', 'up'] as const;
export type SessionState = (typeof SESSION_STATES)[number];

export interface EvpnSession {
  /** As in `--evpn`. */
  readonly address: string;
  readonly state: SessionState;
  /** Milliseconds since 1970 of the last change of `state`. */
  readonly since: number;
  /** Why the last connection was lost or could not be made, one line. undefined: none was. */
  readonly error: string | undefined;
  /** undefined: not connected. */
  readonly dialect: Dialect | undefined;
  readonly asn: number | undefined;
  readonly routerId: IpAddress | undefined;
  readonly peers: readonly Peer[];
  /** Connections since the start. */
  readonly connections: number;
}

export interface EvpnVni {
  readonly vni: number;
  readonly control: 'evpn' | 'both';
  /** Text, `ADMIN:VALUE`; undefined: not known before the first connection. */
  readonly rd: string | undefined;
  /** Text; `*:100` matches any AS. */
  readonly importTargets: readonly string[];
  readonly exportTargets: readonly string[];
  /** VTEPs in the flood list by EVPN. */
  readonly vteps: readonly IpAddress[];
  /** Routes in force. */
  readonly macsIn: number;
  readonly neighboursIn: number;
  /** Routes that the speaker has from us. */
  readonly macsOut: number;
  readonly neighboursOut: number;
  /** Whether the speaker has our type 3 route. */
  readonly isAnnounced: boolean;
}

export interface EvpnStatus {
  readonly session: EvpnSession;
  /** Routes that were received, by type; types other than 2 and 3 under `other`. */
  readonly routesIn: { readonly type2: number; readonly type3: number; readonly other: number };
  readonly routesOut: { readonly type2: number; readonly type3: number };
  /** Changes of our own routes that the speaker has not confirmed. */
  readonly pending: number;
  /** Own routes that the speaker refuses now. */
  readonly refused: number;
  readonly vnis: readonly EvpnVni[];
}

/** Why a received route is not used. The first one that holds is shown. */
export const UNUSED_REASONS = {
  own: 'this host announces it',
  'no-target': 'no VNI imports one of its route targets',
  encapsulation: 'it is for tunnels other than VXLAN',
  label: 'its label is not the VNI (downstream VNI assignment)',
  tag: 'its Ethernet tag is not 0',
  'zero-mac': 'its MAC is zero (unknown MAC route, RFC 9014)',
  'group-mac': 'its MAC is a group address',
  'no-next-hop': 'it has no usable next hop',
  'no-tunnel': 'it has no PMSI tunnel attribute',
  'tunnel-type': 'its PMSI tunnel is not ingress replication',
  'not-best': 'the MAC is here, or another VTEP has a better route for the MAC or the address',
  duplicate: 'the MAC moved too often and is held (RFC 7432 §15.1)',
  refused: 'the data path refuses it',
} as const;
export type UnusedReason = keyof typeof UNUSED_REASONS;

/** A received route, as `vtepctl evpn routes` shows it. */
export interface EvpnRouteRow {
  readonly type: number;
  /** VNI that imports it. undefined: none does. */
  readonly vni: number | undefined;
  /** Text. undefined: of another type. */
  readonly rd: string | undefined;
  readonly mac: MacAddress | undefined;
  readonly ip: IpAddress | undefined;
  /** Next hop of type 2, the flooded address of type 3. */
  readonly vtep: IpAddress | undefined;
  readonly label: number | undefined;
  readonly targets: readonly string[];
  readonly sequence: number | undefined;
  readonly isSticky: boolean;
  /** undefined: it is used. */
  readonly unused: UnusedReason | undefined;
}

/** Where the state of EVPN is read: the control plane. */
export interface EvpnSource {
  status(): EvpnStatus;
  /** All routes of types 2 and 3 that were received. Routes may come and go while it is read. */
  rows(): Iterable<EvpnRouteRow>;
}
