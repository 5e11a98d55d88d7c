import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, ok, warning } from './finding.ts';

export interface InterfaceFacts {
  readonly name: string;
  readonly isGone: boolean;
  readonly up: boolean;
  readonly carrier: boolean;
  /** The bridge, bond, … that it is a port of and that receives its packets; not a VRF. */
  readonly portOf: string | undefined;
  /** Its VRF, if that is down. */
  readonly downVrf: string | undefined;
  /** A VNI depends on it; if not, unicast uses other interfaces. */
  readonly isNeeded: boolean;
}

/** An address of this host. */
export interface AddressFacts {
  readonly address: IpAddress;
  readonly prefixBits: number;
  readonly dev: string;
  readonly isGlobal: boolean;
  readonly isTentative: boolean;
  readonly isDeprecated: boolean;
  /** Another host has it (RFC 4862 §5.4). */
  readonly isDuplicate: boolean;
  /** What maintains an address with a lifetime; undefined: it has none. */
  readonly keeper?: 'router' | 'other';
}

export function checkInterface({ name, isGone, up, carrier, portOf, downVrf, isNeeded }: InterfaceFacts): Finding {
  const fault = (message: string, remedy?: string) =>
    isNeeded
      ? failed('interface', name, message, remedy)
      : warning('interface', name, `${message}; the routes to all VTEPs use other interfaces`, remedy ?? null);
  if (isGone) return fault('there is no such interface');
  if (!up) return fault('it is down', `ip link set ${name} up`);
  if (!carrier) return fault('it has no carrier: its cable, or the interface below it, is down');
  if (portOf !== undefined)
    return fault(
      `it is a port of ${portOf}, which receives its packets: groups joined on it receive nothing`,
      `--dev ${portOf}`,
    );
  if (downVrf !== undefined) {
    const message = `its VRF ${downVrf} is down: nothing is routed in it`;
    return failed('interface', name, message, `ip link set ${downVrf} up`);
  }
  return ok('interface', name, 'up');
}

/** The text for an address that something else maintains: a lease, or a prefix that a router advertises. */
const KEEPERS = {
  router: 'a router advertised its prefix and must do so again',
  other: 'it had a lifetime, and its source, usually a DHCP client, must renew it',
} as const;

/**
 * @param local outer source address, with the prefix that it had, and what maintained it
 * @param addresses those that the host has now
 */
export function checkAddress(
  dev: string,
  local: { readonly address: IpAddress; readonly prefixBits: number; readonly keeper?: AddressFacts['keeper'] },
  addresses: readonly AddressFacts[],
): Finding {
  const { address, prefixBits, keeper } = local;
  const found = addresses.find((each) => each.address === address);
  const written = `${address}/${found?.prefixBits ?? prefixBits} dev ${found?.dev ?? dev}`;
  if (!found) {
    const gone = 'it is not on this host, so nothing is sent';
    return keeper === undefined
      ? failed(
          'address',
          address,
          `${gone}; if it moves between hosts (VRRP), another one may have it now, else`,
          `ip addr add ${written}`,
        )
      : failed('address', address, `${gone}: ${KEEPERS[keeper]}`);
  }
  if (found.isDuplicate) {
    const message = 'another host has it too (duplicate address detection failed): change it there';
    if (found.keeper !== undefined) return failed('address', address, message);
    // Detection runs again, and it stays a duplicate as long as the other host has it.
    return failed('address', address, `${message}, then`, `ip addr del ${written} && ip addr add ${written}`);
  }
  // To skip detection would lose its purpose.
  if (found.isTentative) {
    return warning('address', address, 'tentative: not usable until duplicate address detection has ended');
  }
  if (found.isDeprecated) {
    const message = `deprecated: its lifetime ends`;
    if (found.keeper === 'router') return warning('address', address, `${message}; ${KEEPERS.router}`);
    const forever = `ip addr change ${written} preferred_lft forever valid_lft forever`;
    return warning('address', address, `${message}; if a DHCP client gave it, let that renew it, else`, forever);
  }
  return ok('address', address, `on ${found.dev}`);
}
