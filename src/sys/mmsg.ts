import type { Address } from './libc.ts';
import type { AddressTable, Slab } from './slab.ts';

/**
 * Arrays of struct mmsghdr for recvmmsg and sendmmsg, laid out once in a slab (64-bit Linux, little-endian):
 *
 *      0         8            12  16        24           32         40              48         52  56       60  64
 *     +---------+-------------+---+---------+------------+----------+---------------+----------+---+--------+---+
 *     | name *  | name length | - | iovec * | iovec count| control *| control length| flags    | - | length | - |
 *     +---------+-------------+---+---------+------------+----------+---------------+----------+---+--------+---+
 */
const HEADER_BYTES = 64;
const NAME_LENGTH_AT = 8;
const IOVEC_AT = 16;
const IOVEC_COUNT_AT = 24;
const FLAGS_AT = 48;
const LENGTH_AT = 56;

const CONTROL_AT = 32;
const CONTROL_LENGTH_AT = 40;

const IOVEC_BYTES = 16;
/** sizeof(struct sockaddr_in6), rounded up to keep names aligned. */
const NAME_BYTES = 32;
const SOCKADDR_IN_BYTES = 16;
const AF_INET = 2;

/** struct cmsghdr with a 16-bit value: length(8) level(4) type(4) value(2), padded to 8. */
const CMSG_BYTES = 24;
const CMSG_LENGTH = 18;
const CMSG_VALUE_AT = 16;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;

/** MSG_TRUNC: the datagram was longer than the buffer. */
const MSG_TRUNC = 0x20;

/** `count` messages, each with an IPv4 name and one buffer that is set by offset. */
export class MessageArray {
  /** Addresses of the headers: give the kernel `headers.at(first)`. */
  readonly headers: AddressTable;
  readonly #slab: Slab;
  readonly #headersAt: number;
  readonly #iovecsAt: number;
  readonly #namesAt: number;

  /** @param port UDP port written into every name, for sending */
  constructor(slab: Slab, count: number, port = 0) {
    this.#slab = slab;
    this.#headersAt = slab.allocate(count * HEADER_BYTES);
    this.#iovecsAt = slab.allocate(count * IOVEC_BYTES);
    this.#namesAt = slab.allocate(count * NAME_BYTES);
    this.headers = slab.addresses(this.#headersAt, HEADER_BYTES, count);
    const { view } = slab;
    for (let i = 0; i < count; i++) {
      const header = this.#headersAt + i * HEADER_BYTES;
      const name = this.#namesAt + i * NAME_BYTES;
      setAddress(view, header, slab.address(name));
      view.setUint32(header + NAME_LENGTH_AT, SOCKADDR_IN_BYTES, true);
      setAddress(view, header + IOVEC_AT, slab.address(this.#iovecsAt + i * IOVEC_BYTES));
      view.setUint32(header + IOVEC_COUNT_AT, 1, true);
      view.setUint16(name, AF_INET, true);
      view.setUint16(name + 2, port);
    }
  }

  /** Points message `i` at `length` octets from slab offset `at`. */
  setBuffer(i: number, at: number, length: number): void {
    const iovec = this.#iovecsAt + i * IOVEC_BYTES;
    setAddress(this.#slab.view, iovec, this.#slab.address(at));
    this.#slab.view.setUint32(iovec + 8, length, true);
  }

  /** @param address IPv4 address as a big-endian word, signed or not */
  setDestination(i: number, address: number): void {
    this.#slab.view.setInt32(this.#namesAt + i * NAME_BYTES + 4, address);
  }

  /** Slab offset of message `i`'s name. */
  nameAt(i: number): number {
    return this.#namesAt + i * NAME_BYTES;
  }

  /** Slab offset of message `i`'s iovec; those of the following messages come right behind it. */
  iovecAt(i: number): number {
    return this.#iovecsAt + i * IOVEC_BYTES;
  }

  /** The sender's IPv4 address as a big-endian word, signed. */
  source(i: number): number {
    return this.#slab.view.getInt32(this.#namesAt + i * NAME_BYTES + 4);
  }

  /** Octets received or sent. */
  length(i: number): number {
    return this.#slab.view.getUint32(this.#headersAt + i * HEADER_BYTES + LENGTH_AT, true);
  }

  isTruncated(i: number): boolean {
    return (this.#slab.view.getUint32(this.#headersAt + i * HEADER_BYTES + FLAGS_AT, true) & MSG_TRUNC) !== 0;
  }
}

/**
 * Headers that gather runs of a MessageArray's messages: each run leaves as one message, which the kernel cuts into datagrams again
 * (UDP_SEGMENT, udp(7)), so that the way through the stack is gone once for all of them.
 */
export class RunArray {
  /** Addresses of the headers: give the kernel `headers.at(first)`. */
  readonly headers: AddressTable;
  readonly #slab: Slab;
  readonly #messages: MessageArray;
  readonly #headersAt: number;
  readonly #controlsAt: number;

  constructor(slab: Slab, count: number, messages: MessageArray) {
    this.#slab = slab;
    this.#messages = messages;
    this.#headersAt = slab.allocate(count * HEADER_BYTES);
    this.#controlsAt = slab.allocate(count * CMSG_BYTES);
    this.headers = slab.addresses(this.#headersAt, HEADER_BYTES, count);
    const { view } = slab;
    for (let i = 0; i < count; i++) {
      const header = this.#headersAt + i * HEADER_BYTES;
      const control = this.#controlsAt + i * CMSG_BYTES;
      view.setUint32(header + NAME_LENGTH_AT, SOCKADDR_IN_BYTES, true);
      setAddress(view, header + CONTROL_AT, slab.address(control));
      view.setUint32(control, CMSG_LENGTH, true);
      view.setUint32(control + 8, SOL_UDP, true);
      view.setUint32(control + 12, UDP_SEGMENT, true);
    }
  }

  /** Makes run `i` of `count` messages from `first` on: all of `segmentBytes`, the last at most, and to the destination of the first. */
  set(i: number, first: number, count: number, segmentBytes: number): void {
    const { view } = this.#slab;
    const header = this.#headersAt + i * HEADER_BYTES;
    setAddress(view, header, this.#slab.address(this.#messages.nameAt(first)));
    setAddress(view, header + IOVEC_AT, this.#slab.address(this.#messages.iovecAt(first)));
    view.setUint32(header + IOVEC_COUNT_AT, count, true);
    view.setUint32(header + CONTROL_LENGTH_AT, count > 1 ? CMSG_BYTES : 0, true);
    view.setUint16(this.#controlsAt + i * CMSG_BYTES + CMSG_VALUE_AT, segmentBytes, true);
  }
}

/** One struct iovec, for writev of one buffer whose address is never boxed. */
export class SingleIovec {
  /** Give the kernel this address and a count of 1. */
  readonly address: Address;
  readonly #slab: Slab;
  readonly #at: number;

  constructor(slab: Slab) {
    this.#slab = slab;
    this.#at = slab.allocate(IOVEC_BYTES);
    this.address = slab.address(this.#at);
  }

  set(at: number, length: number): void {
    setAddress(this.#slab.view, this.#at, this.#slab.address(at));
    this.#slab.view.setUint32(this.#at + 8, length, true);
  }
}

/** Writes a 64-bit address as two words, without a BigInt. User addresses are below 2^47, so a double holds them exactly. */
function setAddress(view: DataView, at: number, address: number): void {
  view.setUint32(at, address >>> 0, true);
  view.setUint32(at + 4, address / 0x1_0000_0000, true);
}
