import { RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES } from '../../lib/limits.ts';
import { addressOf, errno, setsockopt } from '../libc.ts';
import { check, SysError } from '../sys-error.ts';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_FILTER = 26;

/** Sets an option whose value is an int. @throws SysError */
export function setInt(fd: number, level: number, name: number, value: number): void {
  if (setsockopt(fd, level, name, int32(value), 4) < 0) throw new SysError(`socket option ${level}/${name}`, errno());
}

/** Attaches a classic BPF program, eight octets an instruction. struct sock_fprog: a count and a pointer to the instructions. */
export function attachFilter(fd: number, program: Buffer): void {
  const sockFprog = Buffer.alloc(16);
  sockFprog.writeUInt16LE(program.length / 8, 0);
  sockFprog.writeBigUInt64LE(BigInt(addressOf(program)), 8);
  check(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, sockFprog, sockFprog.length), 'socket filter');
}

export function growReceiveBuffer(fd: number): void {
  growBuffer(fd, RECEIVE_BUFFER_BYTES, SO_RCVBUFFORCE, SO_RCVBUF);
}

export function growSendBuffer(fd: number): void {
  growBuffer(fd, SEND_BUFFER_BYTES, SO_SNDBUFFORCE, SO_SNDBUF);
}

/** Beyond net.core.rmem_max and wmem_max with CAP_NET_ADMIN, else up to them. */
function growBuffer(fd: number, bytes: number, force: number, plain: number): void {
  const size = int32(bytes);
  if (setsockopt(fd, SOL_SOCKET, force, size, 4) < 0) setsockopt(fd, SOL_SOCKET, plain, size, 4);
}

export function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
}
