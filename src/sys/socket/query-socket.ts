import { MAX_QUERIES_AT_ONCE, QUERY_FLOOD_PAUSE_MS } from '../../lib/limits.ts';
import { addressOf, close, errno, recv, recvmsg, sendto, setsockopt, socket, whenReadable } from '../libc.ts';
import { check } from '../sys-error.ts';
import { attachFilter, setInt } from './socket-option.ts';

/**
 * Raw sockets that receive and send IGMP and MLD queries on one interface. The kernel delivers what is addressed to all hosts, or to a group of this
 * host, and nothing of other protocols, so VXLAN packets cost nothing more. Sent queries also reach the IGMP and MLD of this host, so that it
 * reports its groups like every other host.
 */

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;
const MSG_DONTWAIT = 0x40;

const IPPROTO_IP = 0;
const IP_HDRINCL = 3;
const IPPROTO_IGMP = 2;
const IPPROTO_IPV6 = 41;
const IPV6_HDRINCL = 36;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_RECVHOPOPTS = 53;
const IPV6_HOPOPTS = 54;
const IPPROTO_ICMPV6 = 58;
const ICMPV6_FILTER = 1;

const IGMP_MEMBERSHIP_QUERY = 0x11;
const MLD_LISTENER_QUERY = 130;

/** Room for a query with the sources of a whole packet of 1,500 octets. A longer one is truncated, and then ignored. */
const MESSAGE_BYTES = 1_500;
/** Room for the IPv6 header and options before it; the options of a query have eight octets. */
const IPV6_HEADER_BYTES = 40;
const MAX_OPTIONS_BYTES = 64;
const MESSAGE_AT = IPV6_HEADER_BYTES + MAX_OPTIONS_BYTES;

/** struct msghdr: name 0, its length 8, iovec 16, their count 24, control 32, its length 40, flags 48. */
const MSGHDR_BYTES = 56;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
const CONTROL_BYTES = 256;
/** struct cmsghdr: length 0, level 8, type 12, data 16. */
const CMSG_DATA_AT = 16;

export type OnQuery = (packet: DataView, length: number) => void;

/** Why raw sockets cannot be opened: an errno, EPERM without CAP_NET_RAW, or 0 if they can. */
export function rawSocketRefusal(): number {
  const fd = socket(AF_INET, SOCK_RAW_NONBLOCK_CLOEXEC, IPPROTO_IGMP);
  if (fd < 0) return errno();
  close(fd);
  return 0;
}

/** Open until `close`. */
export class QuerySocket {
  readonly #family: 4 | 6;
  readonly #device: { readonly name: string; readonly index: number };
  readonly #fd: number;
  readonly #ipv6 = new Ipv6Message();
  readonly #packet = Buffer.alloc(MESSAGE_BYTES);
  #end: () => void = () => {};

  /** @throws SysError: EPERM without CAP_NET_RAW, ENODEV if the interface is gone */
  constructor(family: 4 | 6, device: { readonly name: string; readonly index: number }) {
    this.#family = family;
    this.#device = device;
    const object = `queries on ${device.name}`;
    const [domain, protocol] = family === 4 ? [AF_INET, IPPROTO_IGMP] : [AF_INET6, IPPROTO_ICMPV6];
    this.#fd = check(socket(domain, SOCK_RAW_NONBLOCK_CLOEXEC, protocol), object);
    try {
      // The filter first: packets that arrive before the bind are from other interfaces.
      if (family === 4) hearIgmpQueries(this.#fd);
      else hearMldQueries(this.#fd);
      const name = Buffer.from(`${device.name}\0`);
      check(setsockopt(this.#fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length), object);
      // Discards packets that arrived on other interfaces until now.
      for (let count = 0; count < MAX_QUERIES_AT_ONCE && this.#receive(); count++);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
  }

  /**
   * Calls `onQuery` on the event loop with each packet that may be a query, from the IP header on, until the socket is closed. The octets are valid
   * only during the call.
   */
  watch(onQuery: OnQuery): void {
    this.#end = whenReadable(this.#fd, () => {
      for (let count = 0; count < MAX_QUERIES_AT_ONCE; count++) {
        const packet = this.#receive();
        if (!packet) return;
        onQuery(packet, packet.byteLength);
      }
      // This many are a flood.
      this.#end();
      const pause = setTimeout(() => this.watch(onQuery), QUERY_FLOOD_PAUSE_MS);
      this.#end = () => clearTimeout(pause);
    });
  }

  /** Sends a packet that begins with its IP header to `destination`, octets of a multicast address. @throws SysError */
  send(packet: Uint8Array, destination: Uint8Array): void {
    const isIpv4 = this.#family === 4;
    const address = Buffer.alloc(isIpv4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
    address.writeUInt16LE(isIpv4 ? AF_INET : AF_INET6, 0);
    address.set(destination, isIpv4 ? 4 : 8);
    if (!isIpv4) address.writeUInt32LE(this.#device.index, 24);
    const sent = sendto(this.#fd, packet, packet.length, MSG_DONTWAIT, address, address.length);
    check(sent, `query on ${this.#device.name}`);
  }

  close(): void {
    this.#end();
    close(this.#fd);
  }

  /** A packet from its IP header on, or undefined if none waits. */
  #receive(): DataView | undefined {
    if (this.#family === 6) return this.#ipv6.receive(this.#fd);
    const length = recv(this.#fd, this.#packet, this.#packet.length, MSG_DONTWAIT);
    return length < 0 ? undefined : new DataView(this.#packet.buffer, this.#packet.byteOffset, length);
  }
}

/** Accepts only membership queries. A raw socket's octets begin with the IPv4 header, whose length the first one tells. */
function hearIgmpQueries(fd: number): void {
  const instructions: readonly (readonly [code: number, jumpIf: number, jumpElse: number, value: number])[] = [
    [0xb1, 0, 0, 0], // ldxb 4*([0]&0xf)
    [0x50, 0, 0, 0], // ldb [x]
    [0x15, 0, 1, IGMP_MEMBERSHIP_QUERY], // jeq, else to the last
    [0x06, 0, 0, 0xffff], // ret: take it
    [0x06, 0, 0, 0], // ret: drop it
  ];
  const program = Buffer.alloc(instructions.length * 8);
  for (const [i, [code, jumpIf, jumpElse, value]] of instructions.entries()) {
    program.writeUInt16LE(code, i * 8);
    program.writeUInt8(jumpIf, i * 8 + 2);
    program.writeUInt8(jumpElse, i * 8 + 3);
    program.writeUInt32LE(value, i * 8 + 4);
  }
  attachFilter(fd, program);
  setInt(fd, IPPROTO_IP, IP_HDRINCL, 1);
}

/** Likewise. An IPv6 raw socket delivers only the message. The parts before it must be requested. */
function hearMldQueries(fd: number): void {
  // struct icmp6_filter: a bit for each type that is not let through.
  const filter = Buffer.alloc(32, 0xff);
  const octet = MLD_LISTENER_QUERY >> 3;
  filter.writeUInt8(0xff & ~(1 << (MLD_LISTENER_QUERY & 7)), octet);
  check(setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, filter, filter.length), 'ICMPv6 filter');
  for (const option of [IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVHOPOPTS]) setInt(fd, IPPROTO_IPV6, option, 1);
  setInt(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1);
}

/** Receives an IPv6 message and rebuilds its packet as far as the kernel reports it: addresses, hop limit, options. */
class Ipv6Message {
  readonly #packet = Buffer.alloc(MESSAGE_AT + MESSAGE_BYTES);
  readonly #name = Buffer.alloc(SOCKADDR_IN6_BYTES);
  readonly #control = Buffer.alloc(CONTROL_BYTES);
  readonly #iovec = Buffer.alloc(16);
  readonly #header = Buffer.alloc(MSGHDR_BYTES);
  readonly #headerAddress = addressOf(this.#header);

  constructor() {
    this.#iovec.writeBigUInt64LE(BigInt(addressOf(this.#packet) + MESSAGE_AT), 0);
    this.#iovec.writeBigUInt64LE(BigInt(MESSAGE_BYTES), 8);
    this.#header.writeBigUInt64LE(BigInt(addressOf(this.#name)), 0);
    this.#header.writeBigUInt64LE(BigInt(addressOf(this.#iovec)), 16);
    this.#header.writeBigUInt64LE(1n, 24);
    this.#header.writeBigUInt64LE(BigInt(addressOf(this.#control)), 32);
  }

  receive(fd: number): DataView | undefined {
    this.#header.writeUInt32LE(SOCKADDR_IN6_BYTES, 8);
    this.#header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
    const messageBytes = recvmsg(fd, this.#headerAddress, MSG_DONTWAIT);
    if (messageBytes < 0) return undefined;
    const told = this.#told();
    const options = told.get(IPV6_HOPOPTS) ?? Buffer.alloc(0);
    const fits = options.length <= MAX_OPTIONS_BYTES;
    const at = MESSAGE_AT - IPV6_HEADER_BYTES - (fits ? options.length : 0);
    const packet = this.#packet.subarray(at, MESSAGE_AT + messageBytes);
    packet.writeUInt32BE(0x6000_0000, 0);
    packet.writeUInt16BE(packet.length - IPV6_HEADER_BYTES, 4);
    // Next header: hop-by-hop options, or ICMPv6.
    packet.writeUInt8(fits && options.length > 0 ? 0 : IPPROTO_ICMPV6, 6);
    packet.writeUInt8(told.get(IPV6_HOPLIMIT)?.readUInt8(0) ?? 0, 7);
    packet.set(this.#name.subarray(8, 24), 8);
    packet.set(told.get(IPV6_PKTINFO)?.subarray(0, 16) ?? Buffer.alloc(16), 24);
    if (fits) packet.set(options, IPV6_HEADER_BYTES);
    return new DataView(packet.buffer, packet.byteOffset, packet.length);
  }

  /** Control messages of the kernel, by type. */
  #told(): Map<number, Buffer> {
    const told = new Map<number, Buffer>();
    const end = Number(this.#header.readBigUInt64LE(40));
    for (let at = 0; at + CMSG_DATA_AT <= end; ) {
      const length = Number(this.#control.readBigUInt64LE(at));
      if (length < CMSG_DATA_AT || at + length > end) break;
      if (this.#control.readInt32LE(at + 8) === IPPROTO_IPV6) {
        told.set(this.#control.readInt32LE(at + 12), this.#control.subarray(at + CMSG_DATA_AT, at + length));
      }
      at += (length + 7) & ~7;
    }
    return told;
  }
}
