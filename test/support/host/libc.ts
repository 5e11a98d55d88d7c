/**
 * The few C library calls the tests need to open sockets inside network namespaces. Kept apart from src/sys on purpose:
 * the oracle must not share code with what it checks. All buffers passed in stay owned by the caller.
 */
import koffi from 'koffi';

const library = koffi.load(null);

function declare<T extends (...args: never[]) => number>(prototype: string): T {
  return library.func(prototype) as unknown as T;
}

type Bytes = Uint8Array | null;

const libc = {
  open: declare<(path: string, flags: number) => number>('int open(const char *path, int flags)'),
  close: declare<(fd: number) => number>('int close(int fd)'),
  read: declare<(fd: number, bytes: Bytes, length: number) => number>('long read(int fd, void *b, size_t n)'),
  setns: declare<(fd: number, type: number) => number>('int setns(int fd, int type)'),
  socket: declare<(family: number, type: number, protocol: number) => number>('int socket(int f, int t, int p)'),
  bind: declare<(fd: number, address: Bytes, length: number) => number>('int bind(int fd, const void *a, uint n)'),
  setsockopt: declare<(fd: number, level: number, name: number, value: Bytes, length: number) => number>(
    'int setsockopt(int fd, int level, int name, const void *value, uint n)',
  ),
  getsockname: declare<(fd: number, address: Bytes, length: Bytes) => number>(
    'int getsockname(int fd, void *a, void *n)',
  ),
  // koffi knows no ssize_t; long has the same width.
  sendto: declare<
    (fd: number, bytes: Bytes, length: number, flags: number, address: Bytes, addressLength: number) => number
  >('long sendto(int fd, const void *b, size_t n, int flags, const void *a, uint an)'),
  recvfrom: declare<
    (fd: number, bytes: Bytes, length: number, flags: number, address: Bytes, addressLength: Bytes) => number
  >('long recvfrom(int fd, void *b, size_t n, int flags, void *a, void *an)'),
  recvmsg: declare<(fd: number, message: Bytes, flags: number) => number>(
    'long recvmsg(int fd, void *message, int flags)',
  ),
  // Variadic in C; declared plain, which the Linux ABIs of x86-64 and arm64 allow.
  ioctl: declare<(fd: number, request: number, argument: Bytes) => number>(
    'int ioctl(int fd, ulong request, void *argument)',
  ),
  ifNameToIndex: library.func('uint if_nametoindex(const char *name)') as unknown as (name: string) => number,
} as const;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

const EAGAIN = 11;

/** A system call that failed, with its errno in text. */
export class SystemCallError extends Error {
  readonly errno: number;

  constructor(call: string, errno: number) {
    const name = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
    super(`${call}: ${name}`);
    this.errno = errno;
  }
}

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno());
  return result;
}

export function open(path: string, flags: number): number {
  return checked(`open ${path}`, libc.open(path, flags));
}

export function close(fd: number): void {
  libc.close(fd);
}

/** What one read brings, or -1 where nothing waits. */
export function read(fd: number, bytes: Uint8Array): number {
  const length = libc.read(fd, bytes, bytes.length);
  if (length < 0 && koffi.errno() !== EAGAIN) checked('read', length);
  return length;
}

/** Moves the calling thread, and only it, into the namespace that `fd` refers to. */
export function setNetworkNamespace(fd: number): void {
  const CLONE_NEWNET = 0x40000000;
  checked('setns', libc.setns(fd, CLONE_NEWNET));
}

export function socket(family: number, type: number, protocol: number): number {
  return checked('socket', libc.socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

export function bind(fd: number, address: Uint8Array): void {
  checked('bind', libc.bind(fd, address, address.length));
}

export function setSocketOption(fd: number, level: number, name: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? Buffer.from(Int32Array.of(value).buffer) : value;
  checked(`setsockopt ${level}/${name}`, libc.setsockopt(fd, level, name, bytes, bytes.length));
}

export function socketName(fd: number): Buffer {
  const address = Buffer.alloc(128);
  const length = Buffer.from(Uint32Array.of(address.length).buffer);
  checked('getsockname', libc.getsockname(fd, address, length));
  return address.subarray(0, length.readUInt32LE(0));
}

export function sendTo(fd: number, bytes: Uint8Array, address: Uint8Array | null): void {
  checked('sendto', libc.sendto(fd, bytes, bytes.length, 0, address, address?.length ?? 0));
}

export interface Received {
  readonly bytes: Buffer;
  /** The peer's sockaddr; empty where the peer has none. */
  readonly from: Buffer;
}

/** Takes one datagram, or undefined where none is queued. */
export function receiveFrom(fd: number, scratch: Buffer): Received | undefined {
  const address = Buffer.alloc(128);
  const addressLength = Buffer.from(Uint32Array.of(address.length).buffer);
  const length = libc.recvfrom(fd, scratch, scratch.length, MSG_DONTWAIT, address, addressLength);
  if (length < 0) {
    if (koffi.errno() === EAGAIN) return undefined;
    checked('recvfrom', length);
  }
  return {
    bytes: Buffer.from(scratch.subarray(0, length)),
    from: address.subarray(0, addressLength.readUInt32LE(0)),
  };
}

/** recvmsg over a message header the caller laid out; the length, or undefined where nothing is queued. */
export function receiveMessage(fd: number, messageHeader: Buffer): number | undefined {
  const length = libc.recvmsg(fd, messageHeader, MSG_DONTWAIT | MSG_TRUNC);
  if (length < 0) {
    if (koffi.errno() === EAGAIN) return undefined;
    checked('recvmsg', length);
  }
  return length;
}

export function ioctl(fd: number, request: number, argument: Uint8Array): void {
  checked(`ioctl 0x${request.toString(16)}`, libc.ioctl(fd, request, argument));
}

/** Index of an interface in the calling thread's current namespace. */
export function interfaceIndex(name: string): number {
  const index = libc.ifNameToIndex(name);
  if (index === 0) throw new Error(`no interface ${name} in this network namespace`);
  return index;
}

/** Address of a buffer's memory. The buffer must stay referenced for as long as the kernel may use the address. */
export function memoryAddress(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}
