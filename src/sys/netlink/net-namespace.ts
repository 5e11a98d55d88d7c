import { fstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { ERRNO, SysError } from '../sys-error.ts';
import { attribute, readInt32, readMessage, uint32 } from './netlink-message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

/** Network namespaces other than the own one (network_namespaces(7), linux/net_namespace.h). */

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
/** struct rtgenmsg, padded. */
const RTGENMSG_BYTES = 4;

const OWN_NAMESPACE = '/proc/self/ns/net';
/** Where `ip netns` keeps those that have a name. */
const NAMED_NAMESPACES = '/run/netns';

/** Whether a fd is that of the namespace of this process. */
export function isOwnNamespace(fd: number): boolean {
  return isSameFile(fstatSync(fd), statSync(OWN_NAMESPACE));
}

/** The name by which `ip netns` knows a namespace, or undefined: most containers have none. */
export function namespaceName(fd: number): string | undefined {
  const wanted = fstatSync(fd);
  try {
    return readdirSync(NAMED_NAMESPACES).find((name) => {
      const stats = statSync(`${NAMED_NAMESPACES}/${name}`, { throwIfNoEntry: false });
      return stats !== undefined && isSameFile(stats, wanted);
    });
  } catch {
    // There is none, or a sandbox hides them.
    return undefined;
  }
}

/** The number of another namespace for requests to the kernel. It gets one if it has none. @throws SysError */
export function namespaceId(netlink: NetlinkSocket, fd: number): number {
  const object = 'number of a network namespace';
  const of = [Buffer.alloc(RTGENMSG_BYTES), attribute(NETNSA_FD, uint32(fd))];
  const known = () => {
    const [answer] = netlink.query(RTM_GETNSID, of, object);
    return answer && readInt32(readMessage(answer, RTGENMSG_BYTES, object).attributes.get(NETNSA_NSID));
  };
  const id = known() ?? -1;
  if (id >= 0) return id;
  netlink.change(RTM_NEWNSID, [...of, attribute(NETNSA_NSID, uint32(-1))], object);
  const given = known() ?? -1;
  if (given < 0) throw new SysError(object, ERRNO.ENOENT);
  return given;
}

function isSameFile(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}
