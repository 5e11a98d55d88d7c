import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { type HostAddress, listAddresses } from '../../sys/netlink/addresses.ts';
import { type Link, listLinks } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { CAP_NET_BIND_SERVICE, firstUnprivilegedPort, hasCapability } from '../../sys/privileges.ts';
import { ERRNO, SysError } from '../../sys/sys-error.ts';
import { adviceOn, describeHolders, findHolders } from './port-holders.ts';

export interface Binding {
  readonly port: number;
  readonly family: 4 | 6;
  /** An address that some of the sockets are bound to. */
  readonly local?: IpAddress;
  /** The address that the port is bound at; undefined: every one. */
  readonly at?: IpAddress | undefined;
}

/** Runs `bind` of sockets of one family; if the kernel refuses, the error says why, as far as visible, and what to do. */
export function explainClash<Result>(
  netlink: NetlinkSocket,
  { port, family, local, at }: Binding,
  bind: () => Result,
): Result {
  try {
    return bind();
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const object = error.message.slice(0, error.message.indexOf(': '));
    if (error.errno === ERRNO.EADDRINUSE) {
      const holders = findHolders(listLinks(netlink), { port, families: [family], local: at });
      const refusal = { object, cause: describeHolders(holders, port), remedy: adviceOn(holders, port) };
      throw new VtepError('ERR_VTEP_PORT_IN_USE', refusal);
    }
    const told =
      error.errno === ERRNO.EADDRNOTAVAIL && local !== undefined
        ? explainAddress(local, listAddresses(netlink), listLinks(netlink))
        : error.errno === ERRNO.EACCES
          ? explainAccess(port)
          : undefined;
    if (!told) throw error;
    throw new VtepError('ERR_VTEP_SYSTEM', { object, ...told });
  }
}

interface Explanation {
  readonly cause: string;
  readonly remedy: string;
}

/** Why an address cannot be bound (EADDRNOTAVAIL), from the addresses of the host. */
export function explainAddress(
  address: IpAddress,
  addresses: readonly Pick<HostAddress, 'address' | 'index' | 'isTentative' | 'isDuplicate'>[],
  links: readonly Pick<Link, 'index' | 'name' | 'kind' | 'master'>[],
): Explanation {
  const found = addresses.find((each) => each.address === address);
  if (!found) {
    return {
      cause: `EADDRNOTAVAIL: no interface of this host has ${address}`,
      remedy: 'give it to one, or name another address with --local',
    };
  }
  const link = links.find(({ index }) => index === found.index);
  const dev = link?.name ?? `interface ${found.index}`;
  const where = `EADDRNOTAVAIL: ${address} is on ${dev}`;
  if (found.isDuplicate) {
    const cause = `${where}, but another host has it too (duplicate address detection failed)`;
    return { cause, remedy: 'give one of the two hosts another address' };
  }
  if (found.isTentative) {
    const cause = `${where}, but still tentative: duplicate address detection has not ended`;
    return { cause, remedy: 'start again in some seconds' };
  }
  const vrf = links.find(({ index, kind }) => index === link?.master && kind === 'vrf');
  if (vrf) return { cause: `${where} in the VRF ${vrf.name}`, remedy: `name it with --dev ${dev}` };
  const isIpv6 = ipFamily(address) === 6;
  return {
    cause: `${where}, but the kernel refuses it`,
    remedy: `see \`ip ${isIpv6 ? '-6 ' : ''}addr show dev ${dev}\`: it may have been added just now; start again`,
  };
}

function explainAccess(port: number): Explanation | undefined {
  const first = firstUnprivilegedPort();
  if (port >= first || hasCapability(CAP_NET_BIND_SERVICE)) return undefined;
  return {
    cause: `EACCES: ports below ${first} need CAP_NET_BIND_SERVICE, which vtepd does not have`,
    remedy: `choose a --port of ${first} or above, or give it that capability`,
  };
}
