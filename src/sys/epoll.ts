import { type Address, close, epollControl, epollCreate, epollWait, errno, eventfd, read, write } from './libc.ts';
import type { AddressTable, Slab } from './slab.ts';
import { check, ERRNO, SysError } from './sys-error.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 0x001;
/** struct epoll_event is packed on x86-64 alone: events(4) data(8); elsewhere data is aligned to 8. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_AT = EVENT_BYTES - 8;

const EFD_CLOEXEC_NONBLOCK = 0o2004000;

/** A counter that one thread writes and another waits for; non-blocking. Created by the main thread. */
export function openEventFd(): number {
  return check(eventfd(0, EFD_CLOEXEC_NONBLOCK), 'eventfd');
}

const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

/** Makes an eventfd readable. */
export function signalEventFd(fd: number): void {
  write(fd, ONE, ONE.length);
}

/** Makes an eventfd unreadable again. @param scratch eight octets in a slab */
export function clearEventFd(fd: number, scratch: Address): void {
  read(fd, scratch, 8);
}

/** Level-triggered readiness of a worker's fds. Each is known by a token, a small number. */
export class Epoll {
  readonly #fd: number;
  readonly #slab: Slab;
  readonly #eventsAt: number;
  readonly #events: AddressTable;
  readonly #capacity: number;
  readonly #event = new DataView(new ArrayBuffer(EVENT_BYTES));

  /** @param capacity events returned by one wait */
  constructor(slab: Slab, capacity: number) {
    this.#fd = check(epollCreate(EPOLL_CLOEXEC), 'epoll');
    this.#slab = slab;
    this.#capacity = capacity;
    this.#eventsAt = slab.allocate(capacity * EVENT_BYTES);
    this.#events = slab.addresses(this.#eventsAt, EVENT_BYTES, 1);
  }

  /** An fd that is already in the set gets this token. */
  add(fd: number, token: number): void {
    this.#event.setUint32(0, EPOLLIN, true);
    this.#event.setUint32(DATA_AT, token, true);
    const event = new Uint8Array(this.#event.buffer);
    if (epollControl(this.#fd, EPOLL_CTL_ADD, fd, event) >= 0) return;
    if (errno() !== ERRNO.EEXIST) throw new SysError(`epoll, fd ${fd}`, errno());
    check(epollControl(this.#fd, EPOLL_CTL_MOD, fd, event), `epoll, fd ${fd}`);
  }

  /** An fd that is not in the set, or closed already, is no error. */
  remove(fd: number): void {
    epollControl(this.#fd, EPOLL_CTL_DEL, fd, new Uint8Array(this.#event.buffer));
  }

  /** Blocks for at most `timeoutMs`. The number of events to read with `token`; 0 after the timeout or a signal. */
  wait(timeoutMs: number): number {
    const count = epollWait(this.#fd, this.#events.at(0), this.#capacity, timeoutMs);
    if (count >= 0) return count;
    if (errno() === ERRNO.EINTR) return 0;
    throw new SysError('epoll_wait', errno());
  }

  token(event: number): number {
    return this.#slab.view.getUint32(this.#eventsAt + event * EVENT_BYTES + DATA_AT, true);
  }

  close(): void {
    close(this.#fd);
  }
}
