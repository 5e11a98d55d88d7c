import { addressOf, errno, setsockopt } from './libc.ts';
import { check, SysError } from './sys-error.ts';

const SOL_SOCKET = 1;
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

export function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
}
