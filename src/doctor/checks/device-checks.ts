import type { Finding } from '../../api/schemas.ts';
import { failed, ok } from './finding.ts';

/** The result of opening /dev/net/tun. */
export interface TunFacts {
  /** Name of the errno; undefined: it can be opened. */
  readonly error: string | undefined;
  /** The file is the character device 10:200. */
  readonly isDevice: boolean;
  /** The kernel has the driver. */
  readonly isLoaded: boolean;
  /** Root of this namespace may make the node, since it is not in a user namespace. */
  readonly mayMakeNode: boolean;
  /** The systemd service that this process is. */
  readonly service: string | undefined;
}

export interface CapabilityFacts {
  /** Who needs it, for messages: `vtepd`, or the user that runs vtepctl. */
  readonly whose: string;
  readonly isRoot: boolean;
  readonly netAdmin: boolean;
  /** The capabilities are valid in that namespace only. */
  readonly isInUserNamespace: boolean;
  /** The network namespace belongs to it, so they are valid there. */
  readonly ownsNetwork: boolean;
  /** The systemd service that it is. */
  readonly service: string | undefined;
}

const TUN = '/dev/net/tun';
const MAKE_NODE = `mkdir -p /dev/net && mknod ${TUN} c 10 200`;
const GIVE_TO_CONTAINER = `docker run --device ${TUN} --cap-add NET_ADMIN …`;

export function checkTun({ error, isDevice, isLoaded, mayMakeNode, service }: TunFacts): Finding {
  if (error === undefined && isDevice) return ok('tun', TUN, 'can be opened');
  const fault = (message: string, remedy: string | null) =>
    failed('tun', TUN, `no TAP can be made: ${message}`, remedy);
  if (error === undefined)
    return fault(
      'it is not the device of the TUN driver',
      mayMakeNode ? `mv ${TUN} ${TUN}.other && ${MAKE_NODE}` : GIVE_TO_CONTAINER,
    );
  if (error === 'ENOENT' && isLoaded) {
    const message = 'the device node is missing (for a container: --device /dev/net/tun)';
    return fault(message, mayMakeNode ? MAKE_NODE : GIVE_TO_CONTAINER);
  }
  if (error === 'ENOENT' || error === 'ENODEV' || error === 'ENXIO')
    return fault(
      'according to the kernel, the TUN driver is not loaded (for a container: on its host)',
      'modprobe tun',
    );
  if (error === 'EACCES') return fault('this user may not open it (EACCES)', `chmod 0666 ${TUN}`);
  if (error === 'EPERM') {
    const allow = service && `systemctl set-property ${service} DeviceAllow="${TUN} rw"`;
    return fault(
      'it may not be used (EPERM): a service needs DeviceAllow=/dev/net/tun, a container --device /dev/net/tun',
      allow ?? GIVE_TO_CONTAINER,
    );
  }
  return fault(error, null);
}

export function checkCapabilities(facts: CapabilityFacts): Finding {
  const { whose, isRoot, netAdmin, isInUserNamespace, ownsNetwork, service } = facts;
  if (netAdmin && ownsNetwork) {
    return ok('capabilities', whose, isInUserNamespace ? 'CAP_NET_ADMIN, within its user namespace' : 'CAP_NET_ADMIN');
  }
  if (netAdmin) {
    const message =
      'CAP_NET_ADMIN is valid only in its user namespace, and the network namespace belongs to another one: no TAP can be made or set up';
    return failed('capabilities', whose, `${message}; give it its own network namespace, or start it outside`, null);
  }
  const message = 'CAP_NET_ADMIN is missing: no TAP can be made or set up';
  if (service !== undefined) {
    return failed(
      'capabilities',
      whose,
      `${message}; in the unit, AmbientCapabilities=CAP_NET_ADMIN`,
      `systemctl edit ${service}`,
    );
  }
  // Root without the capability is confined by a service or a container.
  return failed('capabilities', whose, message, isRoot ? GIVE_TO_CONTAINER : 'sudo vtepctl doctor');
}
