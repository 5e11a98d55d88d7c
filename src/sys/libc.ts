import koffi from 'koffi';

/**
 * The system calls, through koffi: the only place that knows it. Each returns what the C function returns, -1 with `errno()` on failure.
 * Pointers are given as a Buffer (copied nowhere, but valid only during the call) or as an address from `addressOf`.
 * ioctl is declared with its three arguments (not variadic), and `long` stands for ssize_t, which koffi does not know.
 */

/** An address that stays valid as long as what it was taken from is referenced. */
export type Address = number;

// The process's own symbols, so that glibc and musl both serve.
const libc = koffi.load(null);

type Pointer = Uint8Array | Address | null;

export const open = libc.func('int open(const char *path, int flags)') as (path: string, flags: number) => number;
export const close = libc.func('int close(int fd)') as (fd: number) => number;
export const flock = libc.func('int flock(int fd, int operation)') as (fd: number, operation: number) => number;
export const ioctl = libc.func('int ioctl(int fd, ulong request, void *argument)') as (
  fd: number,
  request: number,
  argument: Uint8Array,
) => number;
/** An ioctl whose argument is a number instead of a pointer. */
export const ioctlNumber = libc.func('ioctl', 'int', ['int', 'ulong', 'ulong']) as (
  fd: number,
  request: number,
  argument: number,
) => number;
export const socket = libc.func('int socket(int domain, int type, int protocol)') as (
  domain: number,
  type: number,
  protocol: number,
) => number;
export const bind = libc.func('int bind(int fd, const void *address, uint length)') as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;
export const connect = libc.func('int connect(int fd, const void *address, uint length)') as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;
export const getsockname = libc.func('int getsockname(int fd, void *address, void *length)') as (
  fd: number,
  address: Uint8Array,
  length: Uint8Array,
) => number;
export const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint length)') as (
  fd: number,
  level: number,
  name: number,
  value: Pointer,
  length: number,
) => number;
export const getsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)') as (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint8Array,
) => number;
/** bpf(2), for which libc has no function of its own. */
export const syscallBpf = libc.func('syscall', 'long', ['long', 'long', 'void *', 'ulong']) as (
  number: number,
  command: number,
  attributes: Uint8Array,
  bytes: number,
) => number;
export const send = libc.func('long send(int fd, const void *octets, size_t length, int flags)') as (
  fd: number,
  octets: Uint8Array,
  length: number,
  flags: number,
) => number;
export const sendto = libc.func(
  'long sendto(int fd, const void *octets, size_t length, int flags, const void *address, uint addressLength)',
) as (
  fd: number,
  octets: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number;
export const recv = libc.func('long recv(int fd, void *octets, size_t length, int flags)') as (
  fd: number,
  octets: Uint8Array,
  length: number,
  flags: number,
) => number;
export const write = libc.func('long write(int fd, const void *octets, size_t length)') as (
  fd: number,
  octets: Uint8Array,
  length: number,
) => number;
export const poll = libc.func('int poll(void *fds, ulong count, int timeoutMs)') as (
  fds: Uint8Array,
  count: number,
  timeoutMs: number,
) => number;
/** Ends the process with all of its threads, also those that hang; nothing is closed or written first. */
export const exitNow = libc.func('void _exit(int code)') as (code: number) => void;
export const eventfd = libc.func('int eventfd(uint initial, int flags)') as (initial: number, flags: number) => number;
export const epollCreate = libc.func('int epoll_create1(int flags)') as (flags: number) => number;
export const epollControl = libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)') as (
  epoll: number,
  operation: number,
  fd: number,
  event: Uint8Array,
) => number;

// The calls of the packet path take addresses in a slab only: a number costs nothing to pass.
export const readv = libc.func('long readv(int fd, uintptr_t iovecs, int count)') as (
  fd: number,
  iovecs: Address,
  count: number,
) => number;
export const read = libc.func('long read(int fd, uintptr_t octets, size_t length)') as (
  fd: number,
  octets: Address,
  length: number,
) => number;
export const writev = libc.func('long writev(int fd, uintptr_t iovecs, int count)') as (
  fd: number,
  iovecs: Address,
  count: number,
) => number;
export const recvmsg = libc.func('long recvmsg(int fd, uintptr_t message, int flags)') as (
  fd: number,
  message: Address,
  flags: number,
) => number;
export const recvmmsg = libc.func(
  'int recvmmsg(int fd, uintptr_t messages, uint count, int flags, uintptr_t timeout)',
) as (fd: number, messages: Address, count: number, flags: number, timeout: Address) => number;
export const sendmmsg = libc.func('int sendmmsg(int fd, uintptr_t messages, uint count, int flags)') as (
  fd: number,
  messages: Address,
  count: number,
  flags: number,
) => number;
/** Lets a thread that waits for this processor run first; returns at once if there is none. */
export const schedYield = libc.func('int sched_yield()') as () => number;
export const epollWait = libc.func('int epoll_wait(int epoll, uintptr_t events, int count, int timeoutMs)') as (
  epoll: number,
  events: Address,
  count: number,
  timeoutMs: number,
) => number;

/** errno of the last failed call on this thread. */
export const errno = (): number => koffi.errno();

/** Where a buffer's memory is. The caller keeps the buffer referenced for as long as the kernel holds the address. */
export function addressOf(memory: Uint8Array): Address {
  return Number(koffi.address(memory));
}

/** Pause before a poll that an error stopped is started again, so that an fd that keeps failing does not use up a processor. */
const POLL_RESTART_MS = 10;

/**
 * Calls `callback` on this thread's event loop whenever `fd` is readable, until the returned function is called. An error of the fd, as a
 * netlink socket has when events were lost, is reported in the same way, and the poll continues: a read returns the error. An exception of
 * `callback` is an ordinary uncaught exception.
 */
export function whenReadable(fd: number, callback: () => void): () => void {
  let isOver = false;
  let hasStopped = false;
  let told: NodeJS.Immediate | undefined;
  let pause: NodeJS.Timeout | undefined;
  // koffi calls outside of Node's callbacks: an exception would stay pending and come out of the next system call. So only this happens there, and
  // the callback runs in the same turn of the event loop.
  const tell = (status: number) => {
    // libuv stops a poll that failed.
    hasStopped ||= status < 0;
    told ??= setImmediate(() => {
      told = undefined;
      if (hasStopped) pause = setTimeout(start, POLL_RESTART_MS);
      hasStopped = false;
      callback();
    });
  };
  const start = () => {
    if (!isOver) poll.start({ readable: true }, tell as unknown as () => void);
  };
  const poll = koffi.node.poll(fd, { readable: true }, tell as unknown as () => void);
  return () => {
    isOver = true;
    clearImmediate(told);
    clearTimeout(pause);
    poll.close();
  };
}
