import type { IpAddress } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { close } from '../sys/libc.ts';
import { ERRNO, SysError } from '../sys/sys-error.ts';
import { openSendSocket, type SendOptions } from '../sys/udp-socket.ts';

export interface SourcePortPool {
  readonly local: IpAddress;
  readonly count: number;
  readonly range: { readonly first: number; readonly last: number };
}

/**
 * Opens the pool of send sockets, each on a port of its own inside the range: flows spread over them by their hash, so that routers on the
 * way can spread them over equal-cost paths (RFC 7348 §5). Ports that others use are passed over.
 *
 * @returns fds, which the caller closes
 * @throws VtepError ERR_VTEP_PORT_IN_USE if the range has too few free ports
 */
export function openSourcePorts({ local, count, range }: SourcePortPool, options: SendOptions): number[] {
  const fds: number[] = [];
  try {
    // Evenly over the range, from a random start: a restart does not meet its own ports in a peer's connection tracking.
    const size = range.last - range.first + 1;
    const start = Math.floor(Math.random() * size);
    // As many stretches as ports: one port of each, then the next of each, so that in the end every port was tried.
    const stretch = Math.ceil(size / count);
    for (let tried = 0; tried < count * stretch && fds.length < count; tried++) {
      const offset = (start + Math.floor(((tried % count) * size) / count) + Math.floor(tried / count)) % size;
      const fd = tryPort(local, range.first + offset, options);
      if (fd !== undefined) fds.push(fd);
    }
    if (fds.length === count) return fds;
    throw new VtepError('ERR_VTEP_PORT_IN_USE', {
      object: `--source-port-range ${range.first}-${range.last}`,
      cause: `only ${fds.length} of ${count} UDP ports on ${local} are free`,
      remedy: 'widen the range or lower --source-ports',
    });
  } catch (error) {
    for (const fd of fds) close(fd);
    throw error;
  }
}

function tryPort(local: IpAddress, port: number, options: SendOptions): number | undefined {
  try {
    return openSendSocket(local, port, options);
  } catch (error) {
    if (error instanceof SysError && error.errno === ERRNO.EADDRINUSE) return undefined;
    throw error;
  }
}
