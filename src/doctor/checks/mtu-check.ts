import type { Finding } from '../../api/schemas.ts';
import type { Config } from '../../config/config.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { IPV6_MIN_MTU_BYTES } from '../../wire/ip.ts';
import { failed, faultsOr, ok, someOf, warning } from './finding.ts';

/** A TAP, and the bridge that it is a port of. */
export interface TapMtuFacts {
  readonly tap: string;
  /** How to call `ip link` where the TAP is; undefined: in a namespace without a name. */
  readonly ipLink: string | undefined;
  readonly mtuBytes: number;
  /** The largest MTU that its underlays can carry, without outer headers. */
  readonly limitBytes: number;
  /** The underlay that sets the limit. */
  readonly dev: string;
  readonly devMtuBytes: number;
  readonly bridge: string | undefined;
  /** The other ports of that bridge. */
  readonly ports: readonly { readonly name: string; readonly mtuBytes: number }[];
}

/** An underlay interface: TAPs follow its MTU here, but not on other hosts. */
export interface DevMtuFacts {
  readonly dev: string;
  readonly mtuBytes: number;
  /** At the time when vtepd began to use it. */
  readonly firstMtuBytes: number;
}

/** A path to a VTEP that is narrower than the interface, known from ICMP or a route. */
export interface PathFacts {
  readonly vtep: IpAddress;
  readonly mtuBytes: number;
  readonly dev: string;
  readonly devMtuBytes: number;
  /** TAPs of the VNIs that the VTEP is in, and the largest MTU of each that the path can carry. */
  readonly taps: readonly { readonly name: string; readonly mtuBytes: number; readonly limitBytes: number }[];
}

export function checkMtu(
  underlays: readonly DevMtuFacts[],
  taps: readonly TapMtuFacts[],
  paths: readonly PathFacts[],
  df: Config['df'] = 'set',
): Finding[] {
  const faults = [
    ...underlays.flatMap(devFaults),
    ...taps.flatMap((tap) => tapFaults(tap, underlays.find(({ dev }) => dev === tap.dev)?.firstMtuBytes ?? 0)),
    ...paths.flatMap((path) => pathFaults(path, df)),
  ];
  const names = taps.map(({ tap, mtuBytes }) => `${tap} ${mtuBytes}`);
  const devs = [...new Set(taps.map(({ dev, devMtuBytes }) => `${dev} ${devMtuBytes}`))];
  return faultsOr(faults, ok('mtu', someOf(devs), names.length === 0 ? 'no TAPs' : someOf(names)));
}

function devFaults({ dev, mtuBytes, firstMtuBytes }: DevMtuFacts): Finding[] {
  if (mtuBytes >= firstMtuBytes) return [];
  const message = `MTU ${mtuBytes}, but ${firstMtuBytes} when vtepd started: larger packets of other VTEPs are lost; if the MTU of all hosts was lowered, restart vtepd`;
  return [failed('mtu', dev, message, `ip link set ${dev} mtu ${firstMtuBytes}`)];
}

/** @param firstMtuBytes of its underlay */
function tapFaults(facts: TapMtuFacts, firstMtuBytes: number): Finding[] {
  const { tap, ipLink, mtuBytes, limitBytes, dev, devMtuBytes, bridge, ports } = facts;
  const faults: Finding[] = [];
  const ownBytes = Math.max(limitBytes, IPV6_MIN_MTU_BYTES);
  if (mtuBytes > ownBytes) {
    const message = `MTU ${mtuBytes}, but ${dev} (MTU ${devMtuBytes}) carries ${limitBytes}: larger frames are lost`;
    faults.push(failed('mtu', tap, message, ipLink ? `${ipLink} set ${tap} mtu ${ownBytes}` : null));
  } else if (mtuBytes > limitBytes) {
    const needed = Math.max(devMtuBytes + mtuBytes - limitBytes, firstMtuBytes);
    const message = `MTU ${mtuBytes}, but ${dev} (MTU ${devMtuBytes}) carries ${limitBytes}: ${belowIpv6(limitBytes)}; set MTU ${needed} on ${dev} if its network carries that; without IPv6, mtu=${limitBytes} is right`;
    faults.push(warning('mtu', tap, message, `ip link set ${dev} mtu ${needed}`));
  }
  const wanted = Math.min(mtuBytes, ownBytes);
  for (const port of ports) {
    if (port.mtuBytes === wanted) continue;
    const isWider = port.mtuBytes > wanted;
    const message = isWider
      ? `MTU ${port.mtuBytes} in ${bridge}, where ${tap} has ${wanted}: larger frames are lost between them; lower it here and in the VM, or set MTU ${devMtuBytes + port.mtuBytes - wanted} on ${dev} if its network carries that`
      : `MTU ${port.mtuBytes} in ${bridge}, where ${tap} has ${wanted}: larger frames are lost between them`;
    // An MTU below that of IPv6 was configured for the TAP, not for the other ports.
    const remedy = wanted < IPV6_MIN_MTU_BYTES ? null : `ip link set ${port.name} mtu ${wanted}`;
    faults.push(warning('mtu', port.name, message, remedy));
  }
  return faults;
}

/** With `--df unset` routers fragment what the path cannot carry, but IPv6 routers never do. */
function pathFaults({ vtep, mtuBytes, dev, devMtuBytes, taps }: PathFacts, df: Config['df']): Finding[] {
  const isIpv4 = ipFamily(vtep) === 4;
  if (mtuBytes >= devMtuBytes || (isIpv4 && df === 'unset')) return [];
  const path = `the path to ${vtep} carries ${mtuBytes}, ${dev} ${devMtuBytes}`;
  return taps.flatMap(({ name, mtuBytes: tapBytes, limitBytes }) => {
    if (tapBytes <= limitBytes) return [];
    if (limitBytes < IPV6_MIN_MTU_BYTES) {
      const wanted = mtuBytes + IPV6_MIN_MTU_BYTES - limitBytes;
      const others = isIpv4 ? ', or let routers fragment' : '';
      const message = `${path}: ${belowIpv6(limitBytes)}; raise the MTU of the path to ${wanted}${others}`;
      return warning('mtu', name, message, isIpv4 ? '--df unset' : null);
    }
    const message = `${path}: above ${limitBytes} IPv4 with DF and IPv6 are answered "too big", ${fateOfOthers(isIpv4, df)}`;
    return warning('mtu', name, message, `ip link set ${name} mtu ${limitBytes}`);
  });
}

/** Frames whose sender cannot be told, and that are not fragmented either. */
function fateOfOthers(isIpv4: boolean, df: Config['df']): string {
  if (!isIpv4) return 'IPv4 without DF and frames that are not IP are lost';
  return df === 'inherit'
    ? 'routers fragment all other frames'
    : 'IPv4 without DF and frames that are not IP are lost: with --df inherit routers fragment them';
}

/** Below IPv6's least MTU (RFC 8200 §5). */
function belowIpv6(limitBytes: number): string {
  return `above ${limitBytes} IPv4 with DF is answered "too big"; all other frames are lost, also IPv6, which cannot be told less than ${IPV6_MIN_MTU_BYTES}`;
}
