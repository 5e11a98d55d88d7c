import type { Finding } from '../../api/schemas.ts';
import type { L2Control } from '../../config/keys/l2-control-key.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { distinctTaps, type Vni } from '../../vtep/vni/vni.ts';
import { faultsOr, ok, someOf, warning } from './finding.ts';

/** A bridge that a TAP is a port of. */
export interface BridgeFacts {
  readonly bridge: string;
  readonly hasSpanningTree: boolean;
  readonly taps: readonly BridgedTap[];
  /** The kernel's vxlan devices among its ports. */
  readonly otherTunnels: readonly string[];
}

export interface BridgedTap {
  readonly tap: string;
  readonly isTrunk: boolean;
  /** That of its VNI, or of the VNI of untagged frames; undefined: a trunk without such a VNI. */
  readonly l2Control: L2Control | undefined;
}

export function gatherBridges(vnis: readonly Vni[], links: readonly Link[]): BridgeFacts[] {
  const bridges = new Map<number, Vni[]>();
  for (const vni of distinctTaps(vnis)) {
    const now = links.find(({ index }) => index === vni.tap.link.index);
    if (now) bridges.set(now.master, [...(bridges.get(now.master) ?? []), vni]);
  }
  return [...bridges].flatMap(([index, ports]) => {
    const bridge = links.find((link) => link.index === index && link.kind === 'bridge');
    if (!bridge) return [];
    const untagged = vnis.find(({ config }) => config.vlan === 0);
    const taps = ports.map(({ config: { tap, vlan, l2Control } }) => {
      const isTrunk = vlan !== undefined;
      return { tap, isTrunk, l2Control: isTrunk ? untagged?.config.l2Control : l2Control };
    });
    const others = links.filter(({ master, kind }) => master === index && kind === 'vxlan').map(({ name }) => name);
    return { bridge: bridge.name, hasSpanningTree: bridge.spanningTree?.isOn ?? false, taps, otherTunnels: others };
  });
}

/** Loops that never end, since frames in a tunnel have no TTL. */
export function checkLoops(bridges: readonly BridgeFacts[]): Finding[] {
  if (bridges.length === 0) return [];
  const faults = bridges.flatMap(({ bridge, hasSpanningTree, taps, otherTunnels }) => {
    if (hasSpanningTree) return blindTaps(bridge, taps);
    // A trunk carries other VLANs, if the bridge separates VLANs.
    const tunnels = [...taps.filter(({ isTrunk }) => !isTrunk).map(({ tap }) => tap), ...otherTunnels];
    if (tunnels.length < 2) return [];
    const message = `connects ${someOf(tunnels)} without spanning tree (STP): if another host connects them too, frames loop`;
    return warning('loop', bridge, message, `ip link set ${bridge} type bridge stp_state 1`);
  });
  const names = someOf(bridges.map(({ bridge }) => bridge));
  return faultsOr(faults, ok('loop', names, 'no second path that spanning tree cannot see'));
}

function blindTaps(bridge: string, taps: readonly BridgedTap[]): Finding[] {
  return taps
    .filter(({ l2Control }) => l2Control !== 'pass' && !(Array.isArray(l2Control) && l2Control.includes('stp')))
    .map(({ tap, l2Control }) => {
      const names = Array.isArray(l2Control) ? ['stp', ...l2Control] : ['stp'];
      const message = `its spanning tree (STP) frames are dropped by ${tap}: a second path between the same bridges is a loop`;
      const remedy = `l2-control=${names.join('+')}`;
      return warning('loop', bridge, message, l2Control === undefined ? `vlan=0,${remedy}` : remedy);
    });
}
