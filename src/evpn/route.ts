import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { RouteDistinguisher, RouteTarget } from '../lib/route-numbers.ts';

/** EVPN routes (RFC 7432 §7) with the attributes that a VTEP uses. They are independent of the BGP speaker and of its API. */

interface RouteBase {
  readonly rd: RouteDistinguisher;
  /** 0 for VLAN-based service (RFC 8365 §5.1.2), which all segments of vtepd are. */
  readonly ethernetTag: number;
  /** The VTEP, as MP_REACH_NLRI says it. undefined: the speaker gave none that is an address. */
  readonly nextHop: IpAddress | undefined;
  /** Distinct, in the order of the route. */
  readonly targets: readonly RouteTarget[];
  /** Tunnel types of the encapsulation communities (RFC 9012 §4.1), 8 for VXLAN. Empty: none was given, which means VXLAN. */
  readonly tunnels: readonly number[];
}

/** Type 2, MAC/IP advertisement (RFC 7432 §7.2). */
export interface MacRoute extends RouteBase {
  readonly type: 2;
  /** 20 hexadecimal digits; 20 zeros: the MAC is behind one VTEP only. Not a part of the key. */
  readonly esi: string;
  /** May be a group or zero, if another speaker announces that. */
  readonly mac: MacAddress;
  /** undefined: the route is of the MAC alone. */
  readonly ip: IpAddress | undefined;
  /** MPLS label 1 as 24 bits: the VNI (RFC 8365 §5.1.3). */
  readonly label: number;
  /** MAC mobility (RFC 7432 §7.7), 32 bits unsigned; 0 without the community. */
  readonly sequence: number;
  /** The sticky flag of the same community, or a default gateway (RFC 7432 §10.1). */
  readonly isSticky: boolean;
}

/** What the PMSI tunnel attribute says (RFC 6514 §5). */
export interface PmsiTunnel {
  /** 6: ingress replication, the only one that unicast floods can use. */
  readonly tunnel: number;
  /** 24 bits: the VNI. */
  readonly label: number;
  /** Tunnel endpoint; undefined: none that is an address. */
  readonly endpoint: IpAddress | undefined;
}

/** Type 3, inclusive multicast Ethernet tag (RFC 7432 §7.3). */
export interface FloodRoute extends RouteBase {
  readonly type: 3;
  readonly originator: IpAddress;
  /** undefined: the route has none, or none that can be read. */
  readonly pmsi: PmsiTunnel | undefined;
}

/** Any other type, as far as it is counted and shown. */
export interface OtherRoute extends Pick<RouteBase, 'nextHop' | 'targets'> {
  /** 1, 4, 5 …; 0: the NLRI cannot be read. */
  readonly type: number;
}

export type EvpnRoute = MacRoute | FloodRoute;

/** A route as it is known to a BGP speaker. */
export interface Path {
  readonly route: EvpnRoute;
  /** The speaker got it by its API, from us or from another program on this host, and not from a BGP peer. */
  readonly isLocal: boolean;
  readonly isWithdrawn: boolean;
}

/** Identifies a route among all: RFC 7432 §7.2, §7.3 say what is a part of the key. Equal keys are equal strings. */
export type RouteKey = string;

export function keyOf(route: EvpnRoute): RouteKey {
  const { rd, ethernetTag } = route;
  const prefix = `${route.type} ${rd.form} ${rd.admin}:${rd.value} ${ethernetTag}`;
  return route.type === 2 ? `${prefix} ${route.mac} ${route.ip ?? ''}` : `${prefix} ${route.originator}`;
}

/** The ESI of a MAC behind one VTEP (RFC 7432 §5). */
export const NO_ESI = '0'.repeat(20);

/** Tunnel type of VXLAN (RFC 8365 §11). */
export const VXLAN_TUNNEL = 8;

/** Tunnel type of ingress replication (RFC 6514 §5, RFC 7432 §11.2). */
export const INGRESS_REPLICATION = 6;

/** Marks the local part of a route target as a VNI of VXLAN: type 1 in bits 28 to 30 (RFC 8365 §5.1.2.1). */
export const RFC8365_VXLAN = 0x1000_0000;
