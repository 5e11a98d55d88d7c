import { formatRouteNumber } from '../../lib/route-numbers.ts';
import type { EvpnRouteRow } from '../evpn-status.ts';
import type { RemoteImport } from './remote-import.ts';
import { labelOf, type RemoteRoute } from './remote-route.ts';
import type { RemoteVni } from './remote-vni.ts';

/** A received route as it is shown, with the reason why it is not used. */
export function rowOf(
  route: RemoteRoute,
  routeImport: RemoteImport,
  vnis: ReadonlyMap<number, RemoteVni>,
): EvpnRouteRow {
  const fault = routeImport.faultOf(route, route.isLocal);
  const label = labelOf(route);
  const user = label === undefined ? undefined : vnis.get(label);
  return {
    type: route.type,
    vni: routeImport.importerOf(route),
    rd: formatRouteNumber(route.rd),
    mac: route.type === 2 ? route.mac : undefined,
    ip: route.type === 2 ? route.ip : undefined,
    vtep: route.type === 2 ? route.nextHop : routeImport.floodedTo(route),
    label: route.type === 2 ? route.label : route.pmsi?.label,
    targets: route.targets.map(formatRouteNumber),
    sequence: route.type === 2 ? route.sequence : undefined,
    isSticky: route.type === 2 && route.isSticky,
    unused: fault ?? user?.unusedReason(route),
  };
}
