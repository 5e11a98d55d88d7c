import type { Finding } from '../../control/schemas.ts';
import { failed, ok } from './finding.ts';

/** What became of opening /dev/net/tun. */
export interface TunFacts {
  /** Name of the errno; undefined: it can be opened. */
  readonly error: string | undefined;
  /** It is the character device 10:200. */
  readonly isDevice: boolean;
  /** The kernel has the driver. */
  readonly isLoaded: boolean;
}

export interface CapabilityFacts {
  /** Who would need it, for messages: `vtepd`, or the user that runs vtepctl. */
  readonly whose: string;
  readonly isRoot: boolean;
  readonly netAdmin: boolean;
}

const TUN = '/dev/net/tun';
const MAKE_NODE = `mkdir -p /dev/net && mknod ${TUN} c 10 200`;

export function checkTun({ error, isDevice, isLoaded }: TunFacts): Finding {
  if (error === undefined && isDevice) return ok('tun', TUN, 'can be opened');
  const fault = (message: string, remedy: string) => failed('tun', TUN, `no TAP can be made: ${message}`, remedy);
  if (error === undefined)
    return fault('it is something else than the TUN driver’s device', `rm ${TUN} && ${MAKE_NODE}`);
  if (error === 'ENOENT' && isLoaded) return fault('the device node is missing', MAKE_NODE);
  if (error === 'ENOENT' || error === 'ENODEV' || error === 'ENXIO')
    return fault('the driver is not loaded', 'modprobe tun');
  if (error === 'EACCES') return fault('this user may not open it (EACCES)', `chmod 0666 ${TUN}`);
  if (error === 'EPERM') {
    const remedy = `systemctl set-property vtepd.service DeviceAllow="${TUN} rw"`;
    return fault('the service or container may not use it (EPERM; for a container --device /dev/net/tun)', remedy);
  }
  return fault(error, 'modprobe tun');
}

export function checkCapabilities({ whose, isRoot, netAdmin }: CapabilityFacts): Finding {
  if (netAdmin) return ok('capabilities', whose, 'CAP_NET_ADMIN');
  const message = 'CAP_NET_ADMIN is missing: no TAP can be made or brought up';
  // Root without it is confined by a service or a container.
  return failed(
    'capabilities',
    whose,
    message,
    isRoot ? 'docker run --cap-add NET_ADMIN --device /dev/net/tun …' : 'sudo vtepctl doctor',
  );
}
