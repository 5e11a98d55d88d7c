import type { Config, VniConfig } from '../config/config.ts';
import { familiesOf } from '../config/underlay-addresses.ts';
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { MAX_UNDERLAYS } from '../lib/limits.ts';
import { findLink, globalAddresses, hostAddresses, type Link, listLinks } from '../sys/links.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';
import { findRoute } from '../sys/routes.ts';
import type { Underlay } from './underlay.ts';

/** Which interface and which address a VNI's datagrams use: what the flags say, else what the host's routes and addresses say. */

/**
 * The interface of a VNI: `--dev`, else that of the route to its group, else to its first remote that is not this very host; undefined where
 * it names neither.
 *
 * @throws VtepError ERR_VTEP_INTERFACE if there is no such interface or no route
 */
export function chooseInterface(netlink: NetlinkSocket, config: Config, vni: VniConfig): Link | undefined {
  if (config.dev !== undefined) return interfaceByName(netlink, config.dev);
  const own = vni.group === undefined ? hostAddresses(netlink) : [];
  const destination = vni.group ?? vni.remotes.find((remote) => !own.includes(remote));
  if (destination === undefined) return undefined;
  const index = findRoute(netlink, destination)?.interfaceIndex;
  const link = index === undefined ? undefined : findLink(netlink, index);
  if (link) return link;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${vni.vni}`,
    cause: `this host has no route to ${destination}`,
    remedy: 'name the underlay interface with --dev, or add a route',
  });
}

function interfaceByName(netlink: NetlinkSocket, name: string): Link {
  const link = findLink(netlink, name);
  if (link) return link;
  const names = listLinks(netlink).map((candidate) => candidate.name);
  const remedy = `name one of: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
  throw new VtepError('ERR_VTEP_INTERFACE', { object: `--dev ${name}`, cause: 'there is no such interface', remedy });
}

/** The address of a family that an interface's VXLAN comes from: `--local`, else its first one of global scope. */
export function chooseLocal(netlink: NetlinkSocket, config: Config, link: Link, family: 4 | 6): IpAddress {
  const given = config.local.find((address) => ipFamily(address) === family);
  const local = given ?? globalAddresses(netlink, link.index).find((address) => ipFamily(address) === family);
  if (local) return local;
  const user = config.vnis.find((vni) => familiesOf(vni).includes(family));
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: user ? `--vni ${user.vni}` : `--dev ${link.name}`,
    cause: `${link.name} has no IPv${family} address of global scope`,
    remedy: `give it one (\`ip address add … dev ${link.name}\`), or name one of this host with --local`,
  });
}

/**
 * The families that a VNI is sent by, IPv4 first. One that names no destination takes what `--local` says, else IPv4, or IPv6 on an
 * interface that has no IPv4.
 */
export function chooseFamilies(netlink: NetlinkSocket, config: Config, vni: VniConfig, link: Link): readonly (4 | 6)[] {
  const families = familiesOf(vni);
  if (families.length > 0) return families;
  const locals = config.local.length > 0 ? config.local : globalAddresses(netlink, link.index);
  const present = ([4, 6] as const).filter((family) => locals.some((address) => ipFamily(address) === family));
  if (config.local.length > 0) return present;
  return [present[0] ?? 4];
}

/**
 * VNIs may leave by several interfaces, each with its own local address and so its own sockets. One address on two interfaces would be one
 * socket for both; that is two underlays, and "one daemon serves one underlay".
 *
 * @throws VtepError naming the VNI and both interfaces; ERR_VTEP_LIMIT beyond MAX_UNDERLAYS
 */
export function refuseSecondUnderlay(
  underlays: readonly Underlay[],
  { link, local, config }: { link: Link; local: IpAddress; config: VniConfig },
): void {
  const object = `--vni ${config.vni}`;
  const other = underlays.find((underlay) => underlay.local === local);
  if (other) {
    throw new VtepError('ERR_VTEP_INTERFACE', {
      object,
      cause: `it leaves by ${link.name}, other VNIs by ${other.name}, and both would use ${local}`,
      remedy: 'name one interface with --dev, or run a daemon for each',
    });
  }
  if (underlays.length === MAX_UNDERLAYS) {
    const cause = `it would need a further underlay interface, ${link.name}, beyond ${MAX_UNDERLAYS}`;
    throw new VtepError('ERR_VTEP_LIMIT', { object, cause, remedy: 'run a second daemon for it' });
  }
}
