import type { VniConfig } from '../../config/config.ts';
import type { ControlledSegment } from '../../control/control-plane.ts';
import { type IpAddress, isGroupMac, isZeroMac } from '../../lib/addresses.ts';
import type { RouteTarget } from '../../lib/route-numbers.ts';
import type { UnusedReason } from '../evpn-status.ts';
import {
  type EvpnRoute,
  type FloodRoute,
  INGRESS_REPLICATION,
  type MacRoute,
  RFC8365_VXLAN,
  VXLAN_TUNNEL,
} from '../route.ts';
import type { SharedParts } from './remote-parts.ts';
import { labelOf } from './remote-route.ts';

/** What the import of routes needs of a segment (`ControlledSegment`). */
export interface ImportingSegment extends Pick<ControlledSegment, 'vni' | 'local'> {
  readonly config: Pick<VniConfig, 'control' | 'targets'>;
}

/**
 * Decides which VNI uses a route, from the route and the segments alone. The label of a route names one VNI, so at most that one can use it, however
 * many import its route targets.
 */
export class RemoteImport {
  readonly #parts: SharedParts;
  readonly #segments = new Map<number, ImportingSegment>();
  /** VNIs with route targets of their own, by the value of each. */
  readonly #byValue = new Map<number, Set<number>>();
  /** How many segments have each own address. */
  readonly #own = new Map<IpAddress, number>();

  constructor(parts: SharedParts) {
    this.#parts = parts;
  }

  isOwn(address: IpAddress): boolean {
    return this.#own.has(address);
  }

  segment(vni: number): ImportingSegment | undefined {
    return this.#segments.get(vni);
  }

  /** @returns what changed: the import of this VNI's routes, and the set of own addresses */
  put(segment: ImportingSegment): { readonly isImportChanged: boolean; readonly isOwnChanged: boolean } {
    const before = this.#segments.get(segment.vni);
    const isOwnChanged = this.#moveOwn(before?.local ?? [], segment.local);
    this.#unindex(before);
    this.#segments.set(segment.vni, segment);
    for (const { value } of ownTargets(segment)) {
      const vnis = this.#byValue.get(value) ?? new Set();
      this.#byValue.set(value, vnis.add(segment.vni));
    }
    return { isImportChanged: !before || importText(before) !== importText(segment), isOwnChanged };
  }

  /** @returns whether the set of own addresses changed */
  remove(vni: number): boolean {
    const before = this.#segments.get(vni);
    this.#unindex(before);
    this.#segments.delete(vni);
    return this.#moveOwn(before?.local ?? [], []);
  }

  /** Why no VNI can use the route. undefined: the VNI of its label can. */
  faultOf(route: EvpnRoute, isLocal: boolean): UnusedReason | undefined {
    if (isLocal || this.#isOwnRoute(route)) return 'own';
    const label = labelOf(route);
    const segment = label === undefined ? undefined : this.#segments.get(label);
    const isImported = segment !== undefined && imports(segment, route.targets);
    if (!isImported && this.importerOf(route) === undefined) return 'no-target';
    if (route.tunnels.length > 0 && !route.tunnels.includes(VXLAN_TUNNEL)) return 'encapsulation';
    if (!isImported && label !== undefined) return 'label';
    if (route.ethernetTag !== 0) return 'tag';
    return route.type === 2 ? this.#faultOfMac(route) : this.#faultOfFlood(route);
  }

  /** The VNI of the label, if it imports the route, else the lowest VNI that does. */
  importerOf(route: EvpnRoute): number | undefined {
    const label = labelOf(route);
    let lowest: number | undefined;
    for (const vni of this.#candidates(route.targets)) {
      const segment = this.#segments.get(vni);
      if (!segment || !imports(segment, route.targets)) continue;
      if (vni === label) return vni;
      if (lowest === undefined || vni < lowest) lowest = vni;
    }
    return lowest;
  }

  /**
   * The address that gets the floods of a VNI: the endpoint of the tunnel, else the next hop. They differ where several hosts share the address of a
   * VTEP.
   */
  floodedTo(route: FloodRoute): IpAddress | undefined {
    const endpoint = route.pmsi?.endpoint;
    if (endpoint !== undefined && this.#parts.isUsable(endpoint)) return endpoint;
    return route.nextHop !== undefined && this.#parts.isUsable(route.nextHop) ? route.nextHop : undefined;
  }

  #isOwnRoute(route: EvpnRoute): boolean {
    if (route.nextHop !== undefined && this.#own.has(route.nextHop)) return true;
    const endpoint = route.type === 3 ? route.pmsi?.endpoint : undefined;
    return endpoint !== undefined && this.#own.has(endpoint);
  }

  #faultOfMac({ mac, nextHop }: MacRoute): UnusedReason | undefined {
    if (isZeroMac(mac)) return 'zero-mac';
    if (isGroupMac(mac)) return 'group-mac';
    return nextHop === undefined || !this.#parts.isUsable(nextHop) ? 'no-next-hop' : undefined;
  }

  #faultOfFlood(route: FloodRoute): UnusedReason | undefined {
    if (this.floodedTo(route) === undefined) return 'no-next-hop';
    if (!route.pmsi) return 'no-tunnel';
    return route.pmsi.tunnel === INGRESS_REPLICATION ? undefined : 'tunnel-type';
  }

  /** VNIs that may import one of the route targets. */
  *#candidates(targets: readonly RouteTarget[]): Iterable<number> {
    for (const { value } of targets) {
      yield value;
      if (value >= RFC8365_VXLAN) yield value - RFC8365_VXLAN;
      yield* this.#byValue.get(value) ?? [];
    }
  }

  #unindex(segment: ImportingSegment | undefined): void {
    if (!segment) return;
    for (const { value } of ownTargets(segment)) {
      const vnis = this.#byValue.get(value);
      vnis?.delete(segment.vni);
      if (vnis?.size === 0) this.#byValue.delete(value);
    }
  }

  #moveOwn(before: readonly IpAddress[], after: readonly IpAddress[]): boolean {
    let isChanged = false;
    for (const address of after) {
      const count = this.#own.get(address) ?? 0;
      this.#own.set(address, count + 1);
      isChanged ||= count === 0;
    }
    for (const address of before) {
      const count = this.#own.get(address) ?? 0;
      if (count > 1) {
        this.#own.set(address, count - 1);
      } else {
        this.#own.delete(address);
        isChanged = true;
      }
    }
    return isChanged;
  }
}

export function isImporting({ config: { control } }: ImportingSegment): boolean {
  return control !== 'multicast';
}

/** Whether a VNI imports a route with these targets. Without targets of its own it takes those that its number gives, of any AS. */
function imports(segment: ImportingSegment, targets: readonly RouteTarget[]): boolean {
  if (!isImporting(segment)) return false;
  const own = ownTargets(segment);
  for (const target of targets) {
    if (own.length === 0 ? isDerived(target, segment.vni) : own.some((each) => isSameTarget(each, target))) return true;
  }
  return false;
}

function isSameTarget(one: RouteTarget, other: RouteTarget): boolean {
  return one.value === other.value && one.admin === other.admin && one.form === other.form;
}

function isDerived({ form, value }: RouteTarget, vni: number): boolean {
  return form !== 'ipv4' && (value === vni || value === vni + RFC8365_VXLAN);
}

function ownTargets({ config: { targets } }: ImportingSegment): readonly RouteTarget[] {
  return targets === 'rfc8365' ? [] : targets;
}

/** Equal for segments that import the same. */
function importText(segment: ImportingSegment): string {
  const targets = ownTargets(segment).map(({ form, admin, value }) => `${form} ${admin} ${value}`);
  return `${isImporting(segment)} ${targets.join()}`;
}
