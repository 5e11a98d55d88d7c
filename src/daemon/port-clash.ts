import { VtepError } from '../lib/errors.ts';
import { listLinks } from '../sys/links.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';
import { ERRNO, SysError } from '../sys/sys-error.ts';

/** Runs `bind` of sockets of one family; if the port is taken, says by whom as far as the kernel tells, and what to do. */
export function explainClash<Result>(
  netlink: NetlinkSocket,
  { port, family }: { port: number; family: 4 | 6 },
  bind: () => Result,
): Result {
  try {
    return bind();
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== ERRNO.EADDRINUSE) throw error;
    const device = listLinks(netlink).find(
      (link) => link.vxlanPort === port && link.vxlanFamilies.includes(family) && link.up,
    );
    const [object] = error.message.split(': ', 1);
    throw new VtepError('ERR_VTEP_PORT_IN_USE', {
      object: object as string,
      cause: device
        ? `the kernel's vxlan device ${device.name} holds UDP port ${port}`
        : `another program, perhaps a second vtepd, holds UDP port ${port} there`,
      remedy: device
        ? `remove it (\`ip link del ${device.name}\`) or choose another --port`
        : `stop it (\`ss -ulnp sport = :${port}\` names it) or choose another --port`,
    });
  }
}
