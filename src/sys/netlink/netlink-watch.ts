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

/** Read in one go; whatever else waits on the event loop then has its turn. */
const MAX_DATAGRAMS_AT_ONCE = 1_024;

/** Pause before everything is looked up anew, when that failed or was just done; doubled each time that it fails. */
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/** Everything is looked up anew so often though nothing seems to be lost: what was missed for a reason nobody thought of is mended. */
const ROUTINE_MS = 60_000;

export interface NetlinkListener {
  /**
   * All events that were waiting, in order; or none: look everything up anew, at the start, where some were lost, and now and then. If it
   * throws a VtepError it is asked to look everything up anew a little later, until it succeeds.
   */
  onEvents(messages: readonly NetlinkMessage[]): void;
  /** It failed, after it had succeeded. */
  onFailing(error: VtepError): void;
  /** It succeeds again. */
  onWell(): void;
}

/**
 * Tells what changes on the host, whatever happens to the socket that it hears it by, until it is stopped. With a pause it reads no more often
 * than that: a router tells of thousands of routes a second, which then overflow a small socket and cost no more than one look at everything.
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

  /** @param readPauseMs between two reads; 0: whatever comes is read at once */
  constructor(groups: number, listener: NetlinkListener, readPauseMs = 0) {
    this.#readPauseMs = readPauseMs;
    this.#groups = groups;
    this.#listener = listener;
  }

  /** @throws SysError if there is no socket to hear by */
  start(): void {
    this.#open();
    this.#look();
  }

  /** Does what the listener owes to what it has heard. A refusal of the host is told and mended as one of `onEvents`. */
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
      // Not one that is known of such a socket: it is not trusted any more.
      this.#hasLost = true;
      this.#closeSocket?.();
      this.#closeSocket = undefined;
      this.#fail(new SysError('events of the host', error));
    }
    // Only now that all is read: until then the kernel drops further events without a word.
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

  /** Whether the listener could do with it what it has to. */
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

  /** Unless it is to be sooner already. */
  #lookIn(delayMs: number): void {
    const atMs = performance.now() + delayMs;
    if (this.#isStopped || (this.#nextLook && this.#nextLookMs <= atMs)) return;
    this.#nextLookMs = atMs;
    clearTimeout(this.#nextLook);
    this.#nextLook = setTimeout(() => this.#look(), delayMs);
    this.#nextLook.unref();
  }
}
