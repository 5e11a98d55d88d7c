import type { Finding } from '../../control/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, ok, warning } from './finding.ts';

export interface InterfaceFacts {
  readonly name: string;
  readonly isGone: boolean;
  readonly up: boolean;
  readonly carrier: boolean;
  /** The bridge, bond, … that it is a port of and that has what comes in; not a VRF. */
  readonly portOf: string | undefined;
  /** Some VNI is cut off with it; if not, unicast goes by others. */
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
}

export function checkInterface({ name, isGone, up, carrier, portOf, isNeeded }: InterfaceFacts): Finding {
  const fault = (message: string, remedy?: string) =>
    isNeeded
      ? failed('interface', name, message, remedy)
      : warning('interface', name, `${message}; the routes to all VTEPs leave by others`, remedy ?? null);
  if (isGone) return fault('there is no such interface');
  if (!up) return fault('it is down', `ip link set ${name} up`);
  if (!carrier) return fault('it has no carrier: its cable, or what it is a part of, is down');
  if (portOf !== undefined)
    return fault(`it is a port of ${portOf}, which gets what comes in: groups are deaf on it`, `--dev ${portOf}`);
  return ok('interface', name, 'up');
}

/**
 * @param local outer source address, with the prefix that it had
 * @param addresses those that the host has now
 */
export function checkAddress(
  dev: string,
  local: { readonly address: IpAddress; readonly prefixBits: number },
  addresses: readonly AddressFacts[],
): Finding {
  const { address, prefixBits } = local;
  const found = addresses.find((each) => each.address === address);
  const written = `${address}/${found?.prefixBits ?? prefixBits} dev ${found?.dev ?? dev}`;
  if (!found) {
    return failed('address', address, `it is not on this host, so nothing is sent`, `ip addr add ${written}`);
  }
  if (found.isDuplicate) {
    const again = `ip addr del ${written} && ip addr add ${written}`;
    return failed('address', address, 'another host has it too (duplicate address detection failed)', again);
  }
  if (found.isTentative)
    return warning(
      'address',
      address,
      'tentative: not fit for use for a second or two',
      `ip addr change ${written} nodad`,
    );
  if (found.isDeprecated) {
    const forever = `ip addr change ${written} preferred_lft forever valid_lft forever`;
    return warning('address', address, 'deprecated: its lifetime ends', forever);
  }
  return ok('address', address, `on ${found.dev}`);
}
