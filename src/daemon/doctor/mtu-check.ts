import type { Finding } from '../../control/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, faultsOr, ok, someOf, warning } from './finding.ts';

/** A TAP, and what it is a port of. */
export interface TapMtuFacts {
  readonly tap: string;
  readonly mtuBytes: number;
  /** The most that its underlays carry, outer headers taken off. */
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
  /** When vtepd took it into use. */
  readonly firstMtuBytes: number;
}

/** A path to a VTEP that ICMP has told to be narrower than the interface. */
export interface PathFacts {
  readonly vtep: IpAddress;
  readonly mtuBytes: number;
  readonly dev: string;
  readonly devMtuBytes: number;
  /** TAPs of the VNIs that the VTEP is in, and the most that the path would carry for each. */
  readonly taps: readonly { readonly name: string; readonly mtuBytes: number; readonly limitBytes: number }[];
}

export function checkMtu(
  underlays: readonly DevMtuFacts[],
  taps: readonly TapMtuFacts[],
  paths: readonly PathFacts[],
): Finding[] {
  const faults = [...underlays.flatMap(devFaults), ...taps.flatMap(tapFaults), ...paths.flatMap(pathFaults)];
  const names = taps.map(({ tap, mtuBytes }) => `${tap} ${mtuBytes}`);
  const devs = [...new Set(taps.map(({ dev, devMtuBytes }) => `${dev} ${devMtuBytes}`))];
  return faultsOr(faults, ok('mtu', someOf(devs), names.length === 0 ? 'no TAPs' : someOf(names)));
}

function devFaults({ dev, mtuBytes, firstMtuBytes }: DevMtuFacts): Finding[] {
  if (mtuBytes >= firstMtuBytes) return [];
  const message = `MTU ${mtuBytes}, and ${firstMtuBytes} when vtepd started: what other VTEPs send up to that is lost; if all were lowered, restart vtepd`;
  return [failed('mtu', dev, message, `ip link set ${dev} mtu ${firstMtuBytes}`)];
}

function tapFaults({ tap, mtuBytes, limitBytes, dev, devMtuBytes, bridge, ports }: TapMtuFacts): Finding[] {
  const faults: Finding[] = [];
  if (mtuBytes > limitBytes) {
    const message = `MTU ${mtuBytes}, but ${dev} (MTU ${devMtuBytes}) carries ${limitBytes}: larger frames are lost`;
    faults.push(failed('mtu', tap, message, `ip link set ${tap} mtu ${limitBytes}`));
  }
  const wanted = Math.min(mtuBytes, limitBytes);
  for (const port of ports) {
    if (port.mtuBytes === wanted) continue;
    const isWider = port.mtuBytes > wanted;
    const message = isWider
      ? `MTU ${port.mtuBytes} in ${bridge}, where ${tap} has ${wanted}: what is larger is lost between them; lower it here and in the machine, or give ${dev} ${devMtuBytes + port.mtuBytes - wanted} if its network carries that`
      : `MTU ${port.mtuBytes} in ${bridge}, where ${tap} has ${wanted}: what is larger is lost between them`;
    faults.push(warning('mtu', port.name, message, `ip link set ${port.name} mtu ${wanted}`));
  }
  return faults;
}

function pathFaults({ vtep, mtuBytes, dev, devMtuBytes, taps }: PathFacts): Finding[] {
  if (mtuBytes >= devMtuBytes) return [];
  return taps.flatMap((tap) => {
    if (tap.mtuBytes <= tap.limitBytes) return [];
    const message = `the path to ${vtep} carries ${mtuBytes}, ${dev} ${devMtuBytes}: what is above ${tap.limitBytes} is answered "too big"`;
    return warning('mtu', tap.name, message, `ip link set ${tap.name} mtu ${tap.limitBytes}`);
  });
}
