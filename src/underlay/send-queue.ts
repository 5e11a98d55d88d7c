import type { Counters } from '../forward/counters.ts';
import { TX_DROP } from '../forward/drop-reason.ts';
import type { Segment } from '../segment/segment.ts';
import { errno, sendmmsg } from '../sys/libc.ts';
import { MessageArray } from '../sys/mmsg.ts';
import type { Slab } from '../sys/slab.ts';
import { ERRNO } from '../sys/sys-error.ts';
import { drainErrorQueue } from '../sys/udp-socket.ts';
import { VXLAN_HEADER_BYTES } from '../wire/vxlan.ts';

/** Messages that one source port holds before it must be flushed. */
const QUEUE_MESSAGES = 64;

const MSG_DONTWAIT = 0x40;

/** The queue of one source port: messages laid out in the slab, sent by one sendmmsg. */
export class SendQueue {
  readonly #fd: number;
  readonly #counters: Counters;
  readonly #messages: MessageArray;
  /** Segment index and octets of each message, for the counters. */
  readonly #segments = new Int32Array(QUEUE_MESSAGES);
  readonly #lengths = new Int32Array(QUEUE_MESSAGES);
  #count = 0;

  /** @param port destination UDP port */
  constructor(slab: Slab, fd: number, port: number, counters: Counters) {
    this.#fd = fd;
    this.#counters = counters;
    this.#messages = new MessageArray(slab, QUEUE_MESSAGES, port);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** @param destination IPv4 address as a big-endian word */
  push(segment: Segment, destination: number, at: number, length: number): void {
    if (this.#count === QUEUE_MESSAGES) this.flush();
    const i = this.#count++;
    this.#messages.setBuffer(i, at, length);
    this.#messages.setDestination(i, destination);
    this.#segments[i] = segment.index;
    this.#lengths[i] = length;
  }

  flush(): void {
    let first = 0;
    let isRetry = false;
    while (first < this.#count) {
      const sent = sendmmsg(this.#fd, this.#messages.headers.at(first), this.#count - first, MSG_DONTWAIT);
      if (sent > 0) {
        for (let i = first; i < first + sent; i++) {
          this.#counters.sent(this.#segments[i] as number, (this.#lengths[i] as number) - VXLAN_HEADER_BYTES);
        }
        first += sent;
        isRetry = false;
        continue;
      }
      const error = errno();
      if (error === ERRNO.EINTR) continue;
      // The error may be an ICMP answer to an earlier datagram, to whomever that was: take it off and send this one again.
      if (!isRetry && drainErrorQueue(this.#fd)) {
        isRetry = true;
        continue;
      }
      this.#counters.txDropped(this.#segments[first] as number, dropReason(error));
      first++;
      isRetry = false;
    }
    this.#count = 0;
  }
}

function dropReason(error: number): number {
  if (error === ERRNO.EMSGSIZE) return TX_DROP.oversize;
  if (error === ERRNO.EAGAIN || error === ERRNO.ENOBUFS) return TX_DROP['send-full'];
  return TX_DROP['send-error'];
}
