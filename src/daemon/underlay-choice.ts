import type { Config, VniConfig } from '../config/config.ts';
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { findLink, globalAddresses, type Link, listLinks, routeInterface } from '../sys/links.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';

/** Which interface and which address a VNI's datagrams use: what the flags say, else what the host's routes and addresses say. */

/** The interface of a VNI: `--dev`, else that of the route to its group, else to its first remote, else `fallback`. */
export function chooseInterface(netlink: NetlinkSocket, config: Config, vni: VniConfig, fallback?: Link): Link {
  if (config.dev !== undefined) return interfaceByName(netlink, config.dev);
  const destination = vni.group ?? vni.remotes[0];
  if (destination === undefined) {
    if (fallback) return fallback;
    const remedy = 'name the underlay interface with --dev';
    throw new VtepError('ERR_VTEP_INTERFACE', {
      object: `--vni ${vni.vni}`,
      cause: 'no GROUP or remote to route to',
      remedy,
    });
  }
  const index = routeInterface(netlink, destination);
  const link = index === undefined ? undefined : listLinks(netlink).find((candidate) => candidate.index === index);
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

/** The IPv4 address that an interface's VXLAN comes from: `--local`, else its first address of global scope. */
export function chooseLocal(netlink: NetlinkSocket, config: Config, link: Link): IpAddress {
  const given = config.local.find((address) => ipFamily(address) === 4);
  const local = given ?? globalAddresses(netlink, link.index).find((address) => ipFamily(address) === 4);
  if (local) return local;
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--dev ${link.name}`,
    cause: 'the interface has no IPv4 address of global scope',
    remedy: `give it one (\`ip address add … dev ${link.name}\`), or name one of this host with --local`,
  });
}
