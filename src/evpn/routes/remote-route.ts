import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import type { RouteDistinguisher, RouteTarget } from '../../lib/route-numbers.ts';
import { type EvpnRoute, type FloodRoute, INGRESS_REPLICATION, type MacRoute, type PmsiTunnel } from '../route.ts';
import type { SharedParts } from './remote-parts.ts';

/** The VNI that a route is a candidate of. */
export interface RouteUser {
  readonly vni: number;
}

/** What is kept of a received route beside its content. */
interface Received {
  readonly isLocal: boolean;
  /** The generation in which it was received last. */
  generation: number;
  /** The VNI that uses it, or would use it if it were the best one. */
  user: RouteUser | undefined;
}

/** A received MAC/IP route. One object holds the content and the state, since there may be a million. */
export class RemoteMac implements MacRoute, Received {
  readonly type = 2;
  readonly rd: RouteDistinguisher;
  readonly ethernetTag: number;
  readonly nextHop: IpAddress | undefined;
  readonly targets: readonly RouteTarget[];
  readonly tunnels: readonly number[];
  readonly esi: string;
  readonly mac: MacAddress;
  readonly ip: IpAddress | undefined;
  readonly label: number;
  readonly sequence: number;
  readonly isSticky: boolean;
  readonly isLocal: boolean;
  generation: number;
  user: RouteUser | undefined = undefined;

  constructor(route: MacRoute, parts: SharedParts, { isLocal, generation }: Omit<Received, 'user'>) {
    this.rd = parts.rd(route.rd);
    this.ethernetTag = route.ethernetTag;
    this.nextHop = parts.address(route.nextHop);
    this.targets = parts.targets(route.targets);
    this.tunnels = parts.tunnels(route.tunnels);
    this.esi = parts.esi(route.esi);
    this.mac = route.mac;
    this.ip = route.ip;
    this.label = route.label;
    this.sequence = route.sequence;
    this.isSticky = route.isSticky;
    this.isLocal = isLocal;
    this.generation = generation;
  }
}

/** A received inclusive multicast route. */
export class RemoteFlood implements FloodRoute, Received {
  readonly type = 3;
  readonly rd: RouteDistinguisher;
  readonly ethernetTag: number;
  readonly nextHop: IpAddress | undefined;
  readonly targets: readonly RouteTarget[];
  readonly tunnels: readonly number[];
  readonly originator: IpAddress;
  readonly pmsi: PmsiTunnel | undefined;
  readonly isLocal: boolean;
  generation: number;
  user: RouteUser | undefined = undefined;

  constructor(route: FloodRoute, parts: SharedParts, { isLocal, generation }: Omit<Received, 'user'>) {
    this.rd = parts.rd(route.rd);
    this.ethernetTag = route.ethernetTag;
    this.nextHop = parts.address(route.nextHop);
    this.targets = parts.targets(route.targets);
    this.tunnels = parts.tunnels(route.tunnels);
    this.originator = route.originator;
    this.pmsi = route.pmsi;
    this.isLocal = isLocal;
    this.generation = generation;
  }
}

export type RemoteRoute = RemoteMac | RemoteFlood;

/**
 * The VNI that the route names for its frames. undefined: none. The label of a tunnel other than ingress replication is no VNI (RFC 6514 §5 has 0
 * there).
 */
export function labelOf(route: EvpnRoute): number | undefined {
  if (route.type === 2) return route.label;
  return route.pmsi?.tunnel === INGRESS_REPLICATION ? route.pmsi.label : undefined;
}

/** Whether a route that is received again says the same. The keys of both are equal. */
export function isSameRoute(one: EvpnRoute, other: EvpnRoute): boolean {
  if (one.nextHop !== other.nextHop) return false;
  if (!isSameList(one.tunnels, other.tunnels) || !isSameList(one.targets, other.targets, isSameTarget)) return false;
  return one.type === 2 ? isSameMac(one, other as MacRoute) : isSamePmsi(one.pmsi, (other as FloodRoute).pmsi);
}

function isSameMac(one: MacRoute, other: MacRoute): boolean {
  return (
    one.label === other.label &&
    one.sequence === other.sequence &&
    one.isSticky === other.isSticky &&
    one.esi === other.esi
  );
}

function isSamePmsi(one: PmsiTunnel | undefined, other: PmsiTunnel | undefined): boolean {
  return one?.tunnel === other?.tunnel && one?.label === other?.label && one?.endpoint === other?.endpoint;
}

export function isSameTarget(one: RouteTarget, other: RouteTarget): boolean {
  return one.value === other.value && one.admin === other.admin && one.form === other.form;
}

function isSameList<T>(one: readonly T[], other: readonly T[], isSame: (a: T, b: T) => boolean = Object.is): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (!isSame(one[i] as T, other[i] as T)) return false;
  return true;
}
