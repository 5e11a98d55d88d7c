import type { IpAddress } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { close } from '../sys/libc.ts';
import { openSendSocket, type SendOptions } from '../sys/socket/udp-socket.ts';
import { ERRNO, SysError } from '../sys/sys-error.ts';

export interface SourcePortPool {
  readonly local: IpAddress;
  readonly count: number;
  readonly range: { readonly first: number; readonly last: number };
  /** Ports of the range to use first if they are free: those of the former pool, so that flows keep theirs. */
  readonly preferred?: readonly number[];
  /** A port of the range that the pool must not bind. */
  readonly except?: number;
}

/**
 * Opens the pool of send sockets, each on a port of its own inside the range: flows spread over them by their hash, so that routers can spread them
 * over equal-cost paths (RFC 7348 §5). Ports in use by others are skipped.
 *
 * @returns fds, which the caller closes
 * @throws VtepError ERR_VTEP_PORT_IN_USE if the range has too few free ports
 */
export function openSourcePorts(pool: SourcePortPool, options: SendOptions): number[] {
  const { local, count, range } = pool;
  const fds: number[] = [];
  try {
    for (const port of portsToTry(pool)) {
      if (fds.length === count) break;
      const fd = tryPort(local, port, options);
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

function* portsToTry({ count, range, preferred = [], except }: SourcePortPool): Generator<number> {
  yield* preferred;
  // Evenly over the range, from a random start, so that after a restart the ports differ from those in the connection tracking of a peer.
  const size = range.last - range.first + 1;
  const start = Math.floor(Math.random() * size);
  // As many sections as ports: one port of each, then the next of each, until every port was tried.
  const stretch = Math.ceil(size / Math.max(1, count));
  for (let tried = 0; tried < count * stretch; tried++) {
    const offset = (start + Math.floor(((tried % count) * size) / count) + Math.floor(tried / count)) % size;
    const port = range.first + offset;
    if (port !== except && !preferred.includes(port)) yield port;
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
