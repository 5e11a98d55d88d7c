import { close } from '../../sys/libc.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import { isOwnNamespace, namespaceId, namespaceName } from '../../sys/netlink/net-namespace.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { SysError } from '../../sys/sys-error.ts';
import { openTapNamespace, tapName } from '../../sys/tun.ts';

/** Where a TAP is that is in another network namespace, for example that of a container. */
export interface Elsewhere {
  /** The name in `ip netns`, or undefined. */
  readonly namespace: string | undefined;
  /** As last seen there; undefined: vtepd may not read it. Index and master are valid only there. */
  readonly link: Link | undefined;
}

/** The present place of a TAP. */
export type TapPlace =
  | { readonly kind: 'here'; readonly link: Link }
  | { readonly kind: 'elsewhere'; readonly elsewhere: Elsewhere }
  | { readonly kind: 'gone' };

/**
 * Asks the fd of a TAP where the TAP is. The fd works as before after the TAP was moved or renamed.
 *
 * @param fd of one of its queues
 */
export function placeOfTap(netlink: NetlinkSocket, fd: number): TapPlace {
  const name = tapName(fd);
  if (name === undefined) return { kind: 'gone' };
  const namespace = openTapNamespace(fd);
  if (namespace === undefined) {
    const link = findLink(netlink, name);
    return link?.isTap
      ? { kind: 'here', link }
      : { kind: 'elsewhere', elsewhere: { namespace: undefined, link: undefined } };
  }
  try {
    if (!isOwnNamespace(namespace)) {
      const link = findLinkIn(netlink, namespace, name);
      return { kind: 'elsewhere', elsewhere: { namespace: namespaceName(namespace), link } };
    }
    const link = findLink(netlink, name);
    // It was renamed or moved since the name was read. There is an event for that.
    return link ? { kind: 'here', link } : { kind: 'elsewhere', elsewhere: { namespace: undefined, link: undefined } };
  } finally {
    close(namespace);
  }
}

function findLinkIn(netlink: NetlinkSocket, namespace: number, name: string): Link | undefined {
  try {
    return findLink(netlink, name, namespaceId(netlink, namespace));
  } catch (error) {
    // Without CAP_NET_ADMIN there it cannot be read, but it still forwards.
    if (error instanceof SysError) return undefined;
    throw error;
  }
}
