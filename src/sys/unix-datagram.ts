import { close, connect, errno, send, socket } from './libc.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

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
    if (connect(fd, name, name.length) < 0 || send(fd, octets, octets.length, 0) < 0) return errno();
    return 0;
  } finally {
    close(fd);
  }
}
