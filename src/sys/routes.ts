import { type IpAddress, ipBytes, ipFamily } from '../lib/addresses.ts';
import { attribute, readAttributes } from './netlink-message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

/** Routes by rtnetlink (linux/rtnetlink.h): what `ip route get` does. */

const RTM_GETROUTE = 26;
const RTMSG_BYTES = 12;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_METRICS = 8;
const RTA_VIA = 18;
const RTAX_MTU = 2;

const AF_INET = 2;
const AF_INET6 = 10;

export interface Route {
  /** Of the interface that it leaves by. */
  readonly interfaceIndex: number;
  /** A router is next. */
  readonly isRouted: boolean;
  /** What ICMP told of the path, or what the route says; undefined: it is the interface's. */
  readonly mtuBytes: number | undefined;
}

/** The route to `destination`; undefined if there is none. */
export function findRoute(netlink: NetlinkSocket, destination: IpAddress): Route | undefined {
  const rtmsg = Buffer.alloc(RTMSG_BYTES);
  const octets = ipBytes(destination);
  rtmsg[0] = ipFamily(destination) === 4 ? AF_INET : AF_INET6;
  rtmsg[1] = octets.length * 8;
  try {
    const [answer] = netlink.query(RTM_GETROUTE, [rtmsg, attribute(RTA_DST, octets)], `route to ${destination}`);
    if (!answer) return undefined;
    const attributes = readAttributes(answer.payload.subarray(RTMSG_BYTES));
    const interfaceIndex = attributes.get(RTA_OIF)?.readUInt32LE(0);
    if (interfaceIndex === undefined) return undefined;
    const metrics = readAttributes(attributes.get(RTA_METRICS) ?? Buffer.alloc(0));
    return {
      interfaceIndex,
      isRouted: attributes.has(RTA_GATEWAY) || attributes.has(RTA_VIA),
      mtuBytes: metrics.get(RTAX_MTU)?.readUInt32LE(0),
    };
  } catch {
    return undefined;
  }
}
