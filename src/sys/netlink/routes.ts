import { type IpAddress, ipBytes, ipFamily } from '../../lib/addresses.ts';
import { ERRNO, SysError } from '../sys-error.ts';
import { attribute, readMessage, readNested, readUint32, uint32 } from './netlink-message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

/** Routes by rtnetlink (linux/rtnetlink.h), like `ip route get`. */

const RTM_GETROUTE = 26;
const RTMSG_BYTES = 12;
const RTMSG_TYPE_AT = 7;
const RTN_LOCAL = 2;

const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_METRICS = 8;
const RTA_VIA = 18;
const RTA_IP_PROTO = 27;
const RTA_DPORT = 29;
const RTAX_MTU = 2;
const IPPROTO_UDP = 17;

const AF_INET = 2;
const AF_INET6 = 10;

/** Errors that mean that there is no route, also for `unreachable`, `prohibit` and `blackhole`. Any other error is no answer. */
const NO_ROUTE: ReadonlySet<number> = new Set([
  ...[ERRNO.ENETUNREACH, ERRNO.EHOSTUNREACH, ERRNO.ENETDOWN, ERRNO.EACCES, ERRNO.EINVAL, ERRNO.ESRCH, ERRNO.ENODEV],
  ...[ERRNO.EADDRNOTAVAIL, ERRNO.EAFNOSUPPORT, ERRNO.ENOTSUP],
]);

export interface Route {
  /** Index of its interface. */
  readonly interfaceIndex: number;
  /** The destination is this host. */
  readonly isLocal: boolean;
  /** The next hop is a router. */
  readonly isRouted: boolean;
  /** The MTU from ICMP or from the route; undefined: that of the interface. */
  readonly mtuBytes: number | undefined;
}

/** What a route may depend on, in addition to its destination. */
export interface RouteFrom {
  /** The source address: rules may match it. */
  readonly source?: IpAddress | undefined;
  /** Index of a VRF, whose table is used, or of an interface that it must use; undefined: the tables of the host. */
  readonly device?: number | undefined;
  /** UDP destination port: rules may match it too (Linux 4.18). */
  readonly udpPort?: number | undefined;
}

/** The route to `destination`; undefined if there is none. @throws SysError if the kernel does not say */
export function findRoute(
  netlink: NetlinkSocket,
  destination: IpAddress,
  { source, device, udpPort }: RouteFrom = {},
): Route | undefined {
  const rtmsg = Buffer.alloc(RTMSG_BYTES);
  const octets = ipBytes(destination);
  rtmsg[0] = ipFamily(destination) === 4 ? AF_INET : AF_INET6;
  rtmsg[1] = octets.length * 8;
  const parts = [rtmsg, attribute(RTA_DST, octets)];
  if (source !== undefined) {
    rtmsg[2] = octets.length * 8;
    parts.push(attribute(RTA_SRC, ipBytes(source)));
  }
  if (device !== undefined) parts.push(attribute(RTA_OIF, uint32(device)));
  if (udpPort !== undefined) {
    const port = Buffer.alloc(2);
    port.writeUInt16BE(udpPort);
    parts.push(attribute(RTA_IP_PROTO, Buffer.from([IPPROTO_UDP])), attribute(RTA_DPORT, port));
  }
  const object = `route to ${destination}`;
  try {
    const [answer] = netlink.query(RTM_GETROUTE, parts, object);
    if (!answer) return undefined;
    const { fixed, attributes } = readMessage(answer, RTMSG_BYTES, object);
    const interfaceIndex = readUint32(attributes.get(RTA_OIF));
    if (interfaceIndex === undefined) return undefined;
    const metrics = readNested(attributes.get(RTA_METRICS));
    return {
      interfaceIndex,
      isLocal: fixed[RTMSG_TYPE_AT] === RTN_LOCAL,
      isRouted: attributes.has(RTA_GATEWAY) || attributes.has(RTA_VIA),
      mtuBytes: readUint32(metrics.get(RTAX_MTU)),
    };
  } catch (error) {
    if (error instanceof SysError && NO_ROUTE.has(error.errno)) return undefined;
    throw error;
  }
}

/** Whether the host has a local route to an address; undefined: not known. */
export function isLocalAddress(netlink: NetlinkSocket, address: IpAddress, from: RouteFrom = {}): boolean | undefined {
  try {
    return findRoute(netlink, address, from)?.isLocal ?? false;
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}
