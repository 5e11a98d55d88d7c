import type { LocalMac } from '../../control/control-plane.ts';
import type { IpAddress, MacAddress } from '../../lib/addresses.ts';
import type { RouteDistinguisher, RouteTarget } from '../../lib/route-numbers.ts';
import type { Mobility } from './mac-mobility.ts';
import type { Slot } from './own-table.ts';
import type { MacClaim } from './sequence.ts';

/** What the own routes need of a segment's configuration. */
export interface OwnConfig {
  readonly control: 'multicast' | 'evpn' | 'both';
  /** undefined: automatic. */
  readonly rd: RouteDistinguisher | undefined;
  /** Empty: automatic. */
  readonly targets: readonly RouteTarget[] | 'rfc8365';
}

/** A `ControlledSegment`, as far as it matters here. */
export interface ControlledVni {
  /** 0 to 16777215. */
  readonly vni: number;
  readonly config: OwnConfig;
  /** Source addresses of the segment, at most one per family. */
  readonly local: readonly IpAddress[];
}

/** What all routes of a segment have in common. */
export interface Face {
  readonly rd: RouteDistinguisher;
  readonly targets: readonly RouteTarget[];
  /** Each has a type 3. */
  readonly local: readonly IpAddress[];
  /** The next hop of MACs: the IPv4 address, if there is one. */
  readonly vtep: IpAddress;
}

/** An address of a MAC, as heard last. */
export interface Heard {
  readonly ip: IpAddress;
  readonly owner: OwnMac;
  slot: Slot | undefined;
  /** Milliseconds. */
  at: number;
}

/** A MAC that is behind the own TAP, or was a moment ago. */
export interface OwnMac {
  readonly segment: OwnSegment;
  readonly mac: MacAddress;
  /** undefined: it is not behind the own TAP, though its neighbours are still known. */
  origin: LocalMac['origin'] | undefined;
  /** `OwnSegment.round` when it was last reported to be here. */
  round: number;
  /** undefined: it never moved. */
  mobility: Mobility | undefined;
  /** Its addresses, the one that was not heard for longest first. */
  ips: Map<IpAddress, Heard> | undefined;
  slot: Slot | undefined;
  /** It moved too often, and is not announced for now. */
  isHeld: boolean;
  /** Another VTEP announces it too, and one of the two says that it must not move. That was reported. */
  isConflict: boolean;
  /** It is here, as far as was reported (`OwnRoutes.isHere`). */
  isHolder: boolean;
}

/** A segment with the stations behind its TAP. It exists from the first report, which may come before the segment is known, and after it is deleted. */
export interface OwnSegment {
  readonly vni: number;
  /** undefined: the segment does not exist. */
  controlled: ControlledVni | undefined;
  /** undefined: nothing is announced. */
  face: Face | undefined;
  readonly floods: Map<IpAddress, Slot>;
  readonly macs: Map<MacAddress, OwnMac>;
  readonly neighbours: Map<IpAddress, Heard>;
  /** How often the full state of the stations began. */
  round: number;
  /** The best received routes. */
  readonly rivals: Map<MacAddress, MacClaim>;
}

export function newSegment(vni: number): OwnSegment {
  return {
    vni,
    controlled: undefined,
    face: undefined,
    floods: new Map(),
    macs: new Map(),
    neighbours: new Map(),
    round: 0,
    rivals: new Map(),
  };
}
