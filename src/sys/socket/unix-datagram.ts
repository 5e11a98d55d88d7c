import { close, connect, errno, send, setsockopt, socket } from '../libc.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;

/** How long to wait for a reader. */
const PATIENCE_MICROSECONDS = 100_000;

/**
 * Sends one datagram to a Unix socket, which Node.js cannot.
 *
 * @param path of the socket; a leading `@` names one in the abstract namespace
 * @returns 0, or the errno of what failed
 */
export function sendUnixDatagram(path: string, text: string): number {
  const fd = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return errno();
  try {
    const name = Buffer.concat([Buffer.alloc(2), Buffer.from(path.replace(/^@/, '\0'))]);
    name.writeUInt16LE(AF_UNIX, 0);
    const octets = Buffer.from(text);
    const timeval = Buffer.alloc(16);
    timeval.writeUInt32LE(PATIENCE_MICROSECONDS, 8);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeval, timeval.length);
    if (connect(fd, name, name.length) < 0 || send(fd, octets, octets.length, 0) < 0) return errno();
    return 0;
  } finally {
    close(fd);
  }
}
