import type { IpWords } from '../../lib/addresses.ts';
import type { Address } from '../libc.ts';
import type { AddressTable, Slab } from '../slab.ts';

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
const CONTROL_AT = 32;
const CONTROL_LENGTH_AT = 40;
const LENGTH_AT = 56;

const IOVEC_BYTES = 16;
/** sizeof(struct sockaddr_in6), rounded up to keep names aligned. */
const NAME_BYTES = 32;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
const AF_INET = 2;
const AF_INET6 = 10;

/** From a name's start to its port, the same in both families; to its address: sin_addr, sin6_addr; and to sin6_scope_id. */
const PORT_AT = 2;
const IPV4_AT = 4;
const IPV6_AT = 8;
const SCOPE_AT = 24;

/** struct cmsghdr with one small value: length(8) level(4) type(4) value, padded to 8. A message has room for two: segments and TOS. */
const CMSG_BYTES = 24;
const CMSGS_BYTES = 2 * CMSG_BYTES;
const CMSG_LEVEL_AT = 8;
const CMSG_TYPE_AT = 12;
const CMSG_VALUE_AT = 16;
const SOL_UDP = 17;
/** Takes the datagrams' size as a 16-bit value; UDP_GRO gives it as a 32-bit one (udp(7)). */
const UDP_SEGMENT = 103;
const UDP_SEGMENT_LENGTH = CMSG_VALUE_AT + 2;
const UDP_GRO = 104;
const SOL_IP = 0;
const IP_TOS = 1;
const SOL_IPV6 = 41;
const IPV6_TCLASS = 67;
const INT_LENGTH = CMSG_VALUE_AT + 4;

/** Instead of a TOS octet: what the socket was given. */
export const SOCKET_TOS = -1;

/** `count` messages to receive, each with room for a name, one buffer, the segment size of UDP_GRO, and the outer TOS. */
export class ReceiveArray {
  /** Addresses of the headers: give the kernel `headers.at(0)`. */
  readonly headers: AddressTable;
  readonly #view: DataView;
  readonly #headersAt: number;
  readonly #namesAt: number;
  readonly #controlsAt: number;

  /** @param buffersAt slab offset of the first buffer, `bufferBytes` long; the others follow every `strideBytes` */
  constructor(
    slab: Slab,
    count: number,
    { buffersAt, bufferBytes, strideBytes }: { buffersAt: number; bufferBytes: number; strideBytes: number },
  ) {
    this.#view = slab.view;
    this.#headersAt = slab.allocate(count * HEADER_BYTES);
    this.#namesAt = slab.allocate(count * NAME_BYTES);
    this.#controlsAt = slab.allocate(count * CMSGS_BYTES);
    this.headers = slab.addresses(this.#headersAt, HEADER_BYTES, count);
    const iovecs = new Gather(slab, count);
    for (let i = 0; i < count; i++) {
      const header = this.#headersAt + i * HEADER_BYTES;
      iovecs.set(i, buffersAt + i * strideBytes, bufferBytes);
      slab.setAddress(header, this.#namesAt + i * NAME_BYTES);
      slab.setAddress(header + IOVEC_AT, iovecs.at + i * IOVEC_BYTES);
      slab.setAddress(header + CONTROL_AT, this.#controlsAt + i * CMSGS_BYTES);
      this.#view.setUint32(header + IOVEC_COUNT_AT, 1, true);
    }
    this.rearm(count);
  }

  /** Makes the first `count` messages ready for the next call: the kernel writes over the lengths. */
  rearm(count: number): void {
    for (let i = 0; i < count; i++) {
      const header = this.#headersAt + i * HEADER_BYTES;
      this.#view.setUint32(header + NAME_LENGTH_AT, SOCKADDR_IN6_BYTES, true);
      this.#view.setUint32(header + CONTROL_LENGTH_AT, CMSGS_BYTES, true);
    }
  }

  /** Writes the sender's address into `source`. */
  readSource(i: number, source: IpWords): void {
    const view = this.#view;
    const name = this.#namesAt + i * NAME_BYTES;
    if (view.getUint16(name, true) === AF_INET) {
      source.a = 0;
      source.b = 0;
      source.c = 0xffff;
      source.d = view.getInt32(name + IPV4_AT);
    } else {
      source.a = view.getInt32(name + IPV6_AT);
      source.b = view.getInt32(name + IPV6_AT + 4);
      source.c = view.getInt32(name + IPV6_AT + 8);
      source.d = view.getInt32(name + IPV6_AT + 12);
    }
  }

  /** The port of the sender, at the same offset in both families. */
  sourcePort(i: number): number {
    return this.#view.getUint16(this.#namesAt + i * NAME_BYTES + PORT_AT);
  }

  /** Octets received. */
  length(i: number): number {
    return this.#view.getUint32(this.#headersAt + i * HEADER_BYTES + LENGTH_AT, true);
  }

  /** Size of the segments that UDP_GRO merged, the last of which may be shorter; the whole length if it did not merge. */
  segmentBytes(i: number): number {
    const at = this.#control(i, SOL_UDP, UDP_GRO);
    const bytes = at < 0 ? 0 : this.#view.getUint32(at, true);
    return bytes === 0 ? this.length(i) : bytes;
  }

  /** Outer TOS octet or traffic class, if the socket delivers it; else 0. Merged datagrams have the same. */
  tos(i: number): number {
    // The first octet of either: IPv4 brings one, IPv6 a little-endian word.
    const ipv4 = this.#control(i, SOL_IP, IP_TOS);
    const at = ipv4 < 0 ? this.#control(i, SOL_IPV6, IPV6_TCLASS) : ipv4;
    return at < 0 ? 0 : this.#view.getUint8(at);
  }

  /** Offset of the value of a control message of message `i`, or -1 if there is none of that kind. */
  #control(i: number, level: number, type: number): number {
    const view = this.#view;
    let at = this.#controlsAt + i * CMSGS_BYTES;
    const end = at + view.getUint32(this.#headersAt + i * HEADER_BYTES + CONTROL_LENGTH_AT, true);
    for (; at + CMSG_VALUE_AT < end; at += CMSG_BYTES) {
      const isIt =
        view.getUint32(at + CMSG_LEVEL_AT, true) === level && view.getUint32(at + CMSG_TYPE_AT, true) === type;
      if (isIt) return at + CMSG_VALUE_AT;
    }
    return -1;
  }
}

/**
 * `count` messages to send, each with a name of one family and a span of a common array of `count` buffers. The buffers of a message leave as
 * datagrams of one size, which the kernel segments (UDP_SEGMENT), so that they pass the stack once.
 */
export class SendArray {
  /** Addresses of the headers: give the kernel `headers.at(first)`. */
  readonly headers: AddressTable;
  readonly #slab: Slab;
  readonly #count: number;
  #isIpv4: boolean;
  readonly #headersAt: number;
  readonly #namesAt: number;
  readonly #controlsAt: number;
  readonly #buffers: Gather;

  /** @param port UDP port written into every name */
  constructor(slab: Slab, count: number, port: number, family: 4 | 6 = 4) {
    this.#slab = slab;
    this.#count = count;
    this.#isIpv4 = family === 4;
    this.#headersAt = slab.allocate(count * HEADER_BYTES);
    this.#namesAt = slab.allocate(count * NAME_BYTES);
    this.#controlsAt = slab.allocate(count * CMSGS_BYTES);
    this.#buffers = new Gather(slab, count);
    this.headers = slab.addresses(this.#headersAt, HEADER_BYTES, count);
    const { view } = slab;
    for (let i = 0; i < count; i++) {
      const header = this.#headersAt + i * HEADER_BYTES;
      const name = this.#namesAt + i * NAME_BYTES;
      const control = this.#controlsAt + i * CMSGS_BYTES;
      slab.setAddress(header, name);
      slab.setAddress(header + CONTROL_AT, control);
      view.setUint16(name + 2, port);
      view.setUint32(control, UDP_SEGMENT_LENGTH, true);
      view.setUint32(control + CMSG_LEVEL_AT, SOL_UDP, true);
      view.setUint32(control + CMSG_TYPE_AT, UDP_SEGMENT, true);
      view.setUint32(control + CMSG_BYTES, INT_LENGTH, true);
    }
    this.setFamily(family);
  }

  /** The slab frees nothing: an array that one family no longer needs is used for another. */
  setFamily(family: 4 | 6): void {
    this.#isIpv4 = family === 4;
    const { view } = this.#slab;
    for (let i = 0; i < this.#count; i++) {
      const header = this.#headersAt + i * HEADER_BYTES;
      const name = this.#namesAt + i * NAME_BYTES;
      const tos = this.#controlsAt + i * CMSGS_BYTES + CMSG_BYTES;
      view.setUint32(header + NAME_LENGTH_AT, this.#isIpv4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES, true);
      view.setUint16(name, this.#isIpv4 ? AF_INET : AF_INET6, true);
      // In IPv6 the flow label is there, which is never set.
      view.setUint32(name + IPV4_AT, 0, true);
      view.setUint32(tos + CMSG_LEVEL_AT, this.#isIpv4 ? SOL_IP : SOL_IPV6, true);
      view.setUint32(tos + CMSG_TYPE_AT, this.#isIpv4 ? IP_TOS : IPV6_TCLASS, true);
    }
  }

  /** Points buffer `i` at `length` octets from slab offset `at`. */
  setBuffer(i: number, at: number, length: number): void {
    this.#buffers.set(i, at, length);
  }

  /** Addresses message `i`. Of an IPv4-mapped address only the last word is used. */
  setDestination(i: number, a: number, b: number, c: number, d: number): void {
    const { view } = this.#slab;
    const name = this.#namesAt + i * NAME_BYTES;
    if (this.#isIpv4) {
      view.setInt32(name + IPV4_AT, d);
    } else {
      view.setInt32(name + IPV6_AT, a);
      view.setInt32(name + IPV6_AT + 4, b);
      view.setInt32(name + IPV6_AT + 8, c);
      view.setInt32(name + IPV6_AT + 12, d);
    }
  }

  /** Sets the link of link-local IPv6 destinations: an interface index. It does not matter for other destinations. */
  setScope(scope: number): void {
    if (this.#isIpv4) return;
    for (let i = 0; i < this.#count; i++) {
      this.#slab.view.setUint32(this.#namesAt + i * NAME_BYTES + SCOPE_AT, scope, true);
    }
  }

  /** Makes message `i` of `count` buffers from `first` on. */
  setMessage(i: number, first: number, count: number): void {
    const { view } = this.#slab;
    const header = this.#headersAt + i * HEADER_BYTES;
    this.#slab.setAddress(header + IOVEC_AT, this.#buffers.at + first * IOVEC_BYTES);
    view.setUint32(header + IOVEC_COUNT_AT, count, true);
  }

  /**
   * Sets how message `i` is sent.
   *
   * @param segmentBytes the kernel segments it into datagrams of this many octets, the last may be shorter; 0: it is one datagram
   * @param tos outer TOS octet or traffic class; SOCKET_TOS: the socket's own
   */
  setControls(i: number, segmentBytes: number, tos: number): void {
    const { view } = this.#slab;
    const control = this.#controlsAt + i * CMSGS_BYTES;
    // A segment size of 0 has no effect, so the TOS can always follow it.
    const length = tos !== SOCKET_TOS ? CMSGS_BYTES : segmentBytes === 0 ? 0 : CMSG_BYTES;
    view.setUint32(this.#headersAt + i * HEADER_BYTES + CONTROL_LENGTH_AT, length, true);
    view.setUint16(control + CMSG_VALUE_AT, segmentBytes, true);
    view.setInt32(control + CMSG_BYTES + CMSG_VALUE_AT, tos, true);
  }
}

/** An array of struct iovec, for readv and writev. */
export class Gather {
  /** Slab offset of the first. */
  readonly at: number;
  readonly #slab: Slab;
  readonly #addresses: AddressTable;

  constructor(slab: Slab, count: number) {
    this.#slab = slab;
    this.at = slab.allocate(count * IOVEC_BYTES);
    this.#addresses = slab.addresses(this.at, IOVEC_BYTES, 1);
  }

  /** Give the kernel this address. */
  get address(): Address {
    return this.#addresses.at(0);
  }

  /** Points buffer `i` at `length` octets from slab offset `at`. */
  set(i: number, at: number, length: number): void {
    const iovec = this.at + i * IOVEC_BYTES;
    this.#slab.setAddress(iovec, at);
    this.#slab.view.setUint32(iovec + 8, length, true);
  }
}
