import { VtepError } from '../../lib/errors.ts';
import { close, errno, recv, whenReadable } from '../libc.ts';
import { growReceiveBuffer } from '../socket/socket-option.ts';
import { ERRNO, SysError } from '../sys-error.ts';
import { type NetlinkMessage, splitMessages } from './netlink-message.ts';
import { NETLINK_RECEIVE_BYTES, openNetlink, uninterrupted } from './netlink-socket.ts';

/** Multicast groups of NETLINK_ROUTE (linux/rtnetlink.h), as a mask. */
export const EVENT_GROUPS = {
  link: 0x1,
  ipv4Address: 0x10,
  ipv6Address: 0x100,
  /** Routes, rules and next hops of both families. */
  routes: (0x40 | 0x400 | 0x80 | 0x4_0000 | 0x8000_0000) >>> 0,
} as const;

const MSG_DONTWAIT = 0x40;

/** Messages read in one go. Then other work of the event loop continues. */
const MAX_DATAGRAMS_AT_ONCE = 1_024;

/** Pause before everything is read again, if that failed or was just done; doubled after each failure. */
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/** How often everything is read again although nothing seems to be lost, to correct changes that were missed for an unknown reason. */
const ROUTINE_MS = 60_000;

export interface NetlinkListener {
  /**
   * All queued events, in order. None means: read everything again. This happens at the start, after a loss, and from time to time. If it throws a
   * VtepError, it is called again a little later, until it succeeds.
   */
  onEvents(messages: readonly NetlinkMessage[]): void;
  /** It failed, after it had succeeded. */
  onFailing(error: VtepError): void;
  /** It succeeds again. */
  onWell(): void;
}

/**
 * Reports changes of the host until it is stopped, and recovers from all errors of its socket. With a pause it reads no more often than that:
 * thousands of routes a second then overflow a small socket, and cost no more than reading everything once.
 */
export class NetlinkWatch {
  readonly #groups: number;
  readonly #listener: NetlinkListener;
  readonly #readPauseMs: number;
  readonly #buffer = Buffer.alloc(NETLINK_RECEIVE_BYTES);
  #closeSocket: (() => void) | undefined;
  #nextLook: NodeJS.Timeout | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #pauseMs = MIN_PAUSE_MS;
  #nextLookMs = 0;
  #hasLost = false;
  #isFailing = false;
  #isStopped = false;

  /** @param readPauseMs between two reads; 0: events are read at once */
  constructor(groups: number, listener: NetlinkListener, readPauseMs = 0) {
    this.#readPauseMs = readPauseMs;
    this.#groups = groups;
    this.#listener = listener;
  }

  /** @throws SysError if there is no socket */
  start(): void {
    this.#open();
    this.#look();
  }

  /** Runs the work that follows from events. An error of the host is handled like one of `onEvents`. */
  attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failOrThrow(error);
    }
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#nextLook);
    this.#closeSocket?.();
    this.#closeSocket = undefined;
  }

  #open(): void {
    const fd = openNetlink(this.#groups);
    let end = () => {};
    const listen = () => {
      const unwatch = whenReadable(fd, () => {
        if (this.#readPauseMs === 0) {
          this.#drain(fd);
          return;
        }
        unwatch();
        const pause = setTimeout(() => {
          listen();
          this.#drain(fd);
        }, this.#readPauseMs);
        pause.unref();
        end = () => clearTimeout(pause);
      });
      end = unwatch;
    };
    if (this.#readPauseMs === 0) growReceiveBuffer(fd);
    listen();
    this.#closeSocket = () => {
      end();
      close(fd);
    };
  }

  #drain(fd: number): void {
    const messages: NetlinkMessage[] = [];
    let error = 0;
    for (let count = 0; error === 0 && count < MAX_DATAGRAMS_AT_ONCE; count++) {
      const length = uninterrupted(() => recv(fd, this.#buffer, NETLINK_RECEIVE_BYTES, MSG_DONTWAIT));
      if (length >= 0) messages.push(...splitMessages(Buffer.from(this.#buffer.subarray(0, length))));
      else if (errno() === ERRNO.ENOBUFS) this.#hasLost = true;
      else error = errno();
    }
    if (messages.length > 0) this.#tell(messages);
    if (error === 0) return;
    if (error !== ERRNO.EAGAIN) {
      // Not an error that such a socket is known to have: it is no longer used.
      this.#hasLost = true;
      this.#closeSocket?.();
      this.#closeSocket = undefined;
      this.#fail(new SysError('events of the host', error));
    }
    // Only after all is read: until then the kernel drops further events silently.
    if (!this.#hasLost) return;
    this.#hasLost = false;
    this.#lookIn(Math.max(0, this.#lookedMs + MIN_PAUSE_MS - performance.now()));
  }

  #look(): void {
    this.#nextLook = undefined;
    this.#lookedMs = performance.now();
    try {
      if (!this.#closeSocket) this.#open();
    } catch (error) {
      this.#failOrThrow(error);
      return;
    }
    this.#lookIn(ROUTINE_MS);
    if (!this.#tell([])) return;
    this.#pauseMs = MIN_PAUSE_MS;
    if (this.#isFailing) this.#listener.onWell();
    this.#isFailing = false;
  }

  /** Whether the listener handled the events. */
  #tell(messages: readonly NetlinkMessage[]): boolean {
    try {
      this.#listener.onEvents(messages);
      return true;
    } catch (error) {
      this.#failOrThrow(error);
      return false;
    }
  }

  #failOrThrow(error: unknown): void {
    if (!(error instanceof VtepError)) throw error;
    this.#fail(error);
    this.#lookIn(this.#pauseMs);
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2);
  }

  #fail(error: VtepError): void {
    if (!this.#isFailing) this.#listener.onFailing(error);
    this.#isFailing = true;
  }

  /** Unless it is already scheduled sooner. */
  #lookIn(delayMs: number): void {
    const atMs = performance.now() + delayMs;
    if (this.#isStopped || (this.#nextLook && this.#nextLookMs <= atMs)) return;
    this.#nextLookMs = atMs;
    clearTimeout(this.#nextLook);
    this.#nextLook = setTimeout(() => this.#look(), delayMs);
    this.#nextLook.unref();
  }
}
