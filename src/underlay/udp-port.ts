import type { Encap } from '../encap/encapsulation.ts';
import type { SourceAddress } from '../fdb/fdb.ts';
import type { DatagramSink } from '../forward/send.ts';

/** Messages that one `receive` brings at most. */
export const DATAGRAM_BATCH = 32;

/** Room in front of a datagram, so that the inner frame stands on 16 octets and its vnet header fits before it. */
export const DATAGRAM_HEADROOM = 8;

/** The worker's side of the underlay: the kernel's UDP sockets by their numbers, or an in-memory twin. */
export interface UdpPort extends DatagramSink {
  /**
   * Receives what waits at a socket, at most a batch. The datagrams stay in place until the next `receive`. How many.
   *
   * @param now tenths of a second
   */
  receive(socket: number, now: number): number;
  /**
   * For a while the kernel gives this socket's datagrams one by one: it knows where each begins.
   *
   * @param source of the message that had datagrams of several VNIs
   * @param now tenths of a second
   */
  cutApart(socket: number, source: SourceAddress, now: number): void;
  /** Where the UDP payload of datagram `i` begins in the slab. */
  datagramAt(i: number): number;
  /** Octets of message `i`: one datagram, or what UDP_GRO put together. */
  datagramBytes(i: number): number;
  /** Size of the datagrams that UDP_GRO put together in message `i`, as it says; the last may be shorter. */
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
