import { type Address, addressOf, recvmsg } from '../libc.ts';
import { ERRNO } from '../sys-error.ts';

/**
 * The error queue of a send socket (IP_RECVERR, IPV6_RECVERR; ip(7)): what routers answered to earlier datagrams, and what the kernel itself
 * refused. One message of it, received into buffers that are made once:
 *
 *     name     sockaddr_in or sockaddr_in6: where the datagram was to go
 *     control  cmsghdr: length(8) level(4) type(4), then struct sock_extended_err:
 *              errno(4) origin(1) type(1) code(1) pad(1) info(4) data(4)
 */

/** Called if the kernel found a datagram too large for the path to an address: four words, IPv4 as ::ffff:a.b.c.d, each signed. */
export type PathMtuListener = (a: number, b: number, c: number, d: number, mtuBytes: number) => void;

const MSG_DONTWAIT = 0x40;
const MSG_ERRQUEUE = 0x2000;

const AF_INET = 2;
const IPV4_MAPPED = 0xffff;
const IPPROTO_IP = 0;
const IP_RECVERR = 11;
const IPPROTO_IPV6 = 41;
const IPV6_RECVERR = 25;
const SO_EE_ORIGIN_LOCAL = 1;

/** More may keep coming. */
const MAX_ERRORS = 64;

const CMSG_HEADER_BYTES = 16;
const EXTENDED_ERROR_BYTES = 16;

const NAME_BYTES = 28;
const CONTROL_BYTES = 128;
const name = Buffer.alloc(NAME_BYTES);
const control = Buffer.alloc(CONTROL_BYTES);
/** struct msghdr: name 0, name length 8, iovecs 16, count 24, control 32, control length 40, flags 48. No octet of the datagram is wanted. */
const header = Buffer.alloc(56);
const headerAddress: Address = addressOf(header);
header.writeBigUInt64LE(BigInt(addressOf(name)), 0);
header.writeBigUInt64LE(BigInt(addressOf(control)), 32);

/**
 * Reads all errors of a send socket. Each would otherwise make one send fail, to any destination.
 *
 * @param onPathMtu is told of datagrams that the kernel itself refused since the path is too narrow. Reports of routers are for the kernel, which
 *   accepts or ignores them. Its own next refusal reports the result.
 * @returns whether there were any
 */
export function drainErrorQueue(fd: number, onPathMtu: PathMtuListener = () => {}): boolean {
  for (let drained = 0; drained < MAX_ERRORS; drained++) {
    header.writeUInt32LE(NAME_BYTES, 8);
    header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
    if (recvmsg(fd, headerAddress, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return drained > 0;
    const mtuBytes = refusedMtu();
    if (mtuBytes === 0) continue;
    if (name.readUInt16LE(0) === AF_INET) onPathMtu(0, 0, IPV4_MAPPED, name.readInt32BE(4), mtuBytes);
    else onPathMtu(name.readInt32BE(8), name.readInt32BE(12), name.readInt32BE(16), name.readInt32BE(20), mtuBytes);
  }
  return true;
}

/** MTU of the path, if the error received is the kernel's own EMSGSIZE; else 0. */
function refusedMtu(): number {
  if (header.readUInt32LE(40) < CMSG_HEADER_BYTES + EXTENDED_ERROR_BYTES) return 0;
  const [level, type] = [control.readInt32LE(8), control.readInt32LE(12)];
  const isError = (level === IPPROTO_IP && type === IP_RECVERR) || (level === IPPROTO_IPV6 && type === IPV6_RECVERR);
  const error = control.readUInt32LE(CMSG_HEADER_BYTES);
  const origin = control.readUInt8(CMSG_HEADER_BYTES + 4);
  const isRefusal = isError && error === ERRNO.EMSGSIZE && origin === SO_EE_ORIGIN_LOCAL;
  return isRefusal ? control.readUInt32LE(CMSG_HEADER_BYTES + 8) : 0;
}
