import type { Encap } from '../encap/encapsulation.ts';
import type { SourceAddress } from '../fdb/fdb.ts';
import type { DatagramSink } from '../forward/send.ts';

/** Messages that one `receive` brings at most. */
export const DATAGRAM_BATCH = 32;

/** Headroom of a datagram, so that the inner frame is aligned to 16 octets and its vnet header fits before it. */
export const DATAGRAM_HEADROOM = 8;

/** The worker's side of the underlay: the kernel's UDP sockets by their numbers, or an in-memory twin. */
export interface UdpPort extends DatagramSink {
  /**
   * Receives queued datagrams of a socket, at most a batch. They stay in place until the next `receive`. Returns their number.
   *
   * @param now tenths of a second
   */
  receive(socket: number, now: number): number;
  /**
   * Makes the kernel deliver the datagrams of this socket one by one for a while, since it knows where each begins.
   *
   * @param source of the message that had datagrams of several VNIs
   * @param now tenths of a second
   */
  cutApart(socket: number, source: SourceAddress, now: number): void;
  /** Where the UDP payload of datagram `i` begins in the slab. */
  datagramAt(i: number): number;
  /** Octets of message `i`: one datagram, or several that UDP_GRO merged. */
  datagramBytes(i: number): number;
  /** Size of the datagrams that UDP_GRO merged into message `i`; the last may be shorter. */
  segmentBytes(i: number): number;
  /** Writes the outer source address of datagram `i` into `source`. */
  readSource(i: number, source: SourceAddress): void;
  /** Outer source port of datagram `i`. */
  sourcePort(i: number): number;
  /** Outer TOS octet or traffic class of message `i`. */
  tos(i: number): number;
  /** Number of the group whose socket this is, or NO_GROUP. */
  groupOf(socket: number): number;
  /** What the socket's datagrams are. */
  encapOf(socket: number): Encap;
}
