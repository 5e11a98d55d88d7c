import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import type { RouteDistinguisher, RouteTarget } from '../../lib/route-numbers.ts';
import { type EvpnRoute, type FloodRoute, INGRESS_REPLICATION, type MacRoute, type PmsiTunnel } from '../route.ts';
import type { SharedParts } from './remote-parts.ts';
import type { MacClaim } from './sequence.ts';

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
export class RemoteMac implements MacRoute, MacClaim, Received {
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

  /** The next hop. Candidates have one. */
  get vtep(): IpAddress {
    return this.nextHop as IpAddress;
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
