import type { Config, VniConfig } from '../../config/config.ts';
import { familiesOf } from '../../config/underlay-addresses.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { findLink, type Link, listLinks } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { findRoute, type Route, type RouteFrom } from '../../sys/netlink/routes.ts';
import type { HostAddresses } from '../host-addresses.ts';

/** Which interface and which families a VNI's datagrams use: from the flags, else from the routes and addresses of the host. */

/** The inputs of the choice. */
export interface ChoiceGround {
  readonly netlink: NetlinkSocket;
  readonly config: Config;
  readonly addresses: HostAddresses;
}

/** The destination whose route decides the interface of a VNI: its group, else its first remote that is not this very host. */
export function destinationOf(
  { group, remotes }: VniConfig,
  { addresses }: Pick<ChoiceGround, 'addresses'>,
): IpAddress | undefined {
  return group ?? remotes.find((remote) => !addresses.has(remote));
}

/**
 * The route to a VTEP or group. Rules may match the source address, if one was given and exists.
 *
 * @param from the source, as far as known
 * @throws SysError if the kernel does not say
 */
export function routeTo(
  { netlink, config, addresses }: ChoiceGround,
  destination: IpAddress,
  from: RouteFrom,
): Route | undefined {
  const source = config.local.find((local) => ipFamily(local) === ipFamily(destination) && addresses.has(local));
  return findRoute(netlink, destination, { ...from, source: from.source ?? source });
}

/**
 * The interface of a VNI: `--dev`, else that of the route to its destination; undefined where it names none.
 *
 * @throws VtepError ERR_VTEP_INTERFACE if there is no such interface or no route
 */
export function chooseInterface(ground: ChoiceGround, vni: VniConfig): Link | undefined {
  const { netlink, config } = ground;
  if (config.dev !== undefined) return interfaceByName(netlink, config.dev);
  const destination = destinationOf(vni, ground);
  if (destination === undefined) return undefined;
  const index = routeTo(ground, destination, { udpPort: config.port })?.interfaceIndex;
  const link = index === undefined ? undefined : findLink(netlink, index);
  if (link) return link;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${vni.vni}`,
    cause: `this host has no route to ${destination}`,
    remedy: 'name the underlay interface with --dev, or add a route',
  });
}

/** Documentation addresses (RFC 5737, RFC 3849): usually only the default route leads to them. */
const BEYOND = ['203.0.113.1' as IpAddress, '2001:db8::1' as IpAddress];

/**
 * The interface where VNIs are that have no destination of their own, since a control plane names all: the one with a `--local` address, else that of
 * the default route. Addresses of `lo` and of dummy interfaces are reached by others.
 */
export function chooseHome(ground: ChoiceGround): Link | undefined {
  const { netlink, config, addresses } = ground;
  const { local } = config;
  if (local.length > 0) {
    const holds = ({ index }: Link) => addresses.on(index).some(({ address }) => local.includes(address));
    const holder = listLinks(netlink).find((link) => link.name !== 'lo' && link.kind !== 'dummy' && holds(link));
    if (holder) return holder;
  }
  for (const address of BEYOND) {
    if (local.length > 0 && !local.some((own) => ipFamily(own) === ipFamily(address))) continue;
    const index = routeTo(ground, address, { udpPort: config.port })?.interfaceIndex;
    const link = index === undefined ? undefined : findLink(netlink, index);
    if (link) return link;
  }
  return undefined;
}

function interfaceByName(netlink: NetlinkSocket, name: string): Link {
  const link = findLink(netlink, name);
  if (link) return link;
  const names = listLinks(netlink).map((candidate) => candidate.name);
  const remedy = `name one of: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
  throw new VtepError('ERR_VTEP_INTERFACE', { object: `--dev ${name}`, cause: 'there is no such interface', remedy });
}

/**
 * The families that a VNI is sent by, IPv4 first. One without a destination uses those of `--local`, else IPv4, or IPv6 on an interface without
 * IPv4.
 */
export function chooseFamilies({ config, addresses }: ChoiceGround, vni: VniConfig, link: Link): readonly (4 | 6)[] {
  const families = familiesOf(vni);
  if (families.length > 0) return families;
  const locals =
    config.local.length > 0
      ? config.local
      : addresses
          .on(link.index)
          .flatMap(({ address, isGlobal, isTemporary }) => (isGlobal && !isTemporary ? address : []));
  const present = ([4, 6] as const).filter((family) => locals.some((address) => ipFamily(address) === family));
  if (config.local.length > 0) return present;
  return [present[0] ?? 4];
}
