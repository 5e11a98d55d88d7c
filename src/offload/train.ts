import { isNextHeader, peekHeader } from '../encap/codec.ts';
import type { Encap } from '../encap/encapsulation.ts';
import { HEADER_SHORT, readHeaderBytes } from '../encap/reading.ts';
import { type FrameHeaders, IP_PROTOCOL, locateHeaders } from '../wire/ip.ts';

/**
 * UDP_GRO gave a segment size that is smaller than the message. There are two cases. A train: the kernel merged datagrams of that size; the last one
 * may be shorter. A super-datagram from a peer's kernel: a vxlan device on the same machine sends an inner UDP super-frame as one datagram, and the
 * segment size is the inner one. This function tells whether it is a super-datagram.
 *
 * The sender of the inner packet chooses its length field and its payload, so nothing in the message is proof. Both mistakes are made harmless. If a
 * super-datagram is taken for a train, a frame could enter another VNI. So the caller that cuts a message accepts only datagrams with the header of
 * the first one. If a train is taken for a super-datagram, the first frame would include its neighbours. So the inner length is accepted as longer
 * than the datagram only if it fills the message exactly, and no such header is at the start of the second datagram.
 *
 * @param headers scratch space, overwritten
 */
export function isSuperDatagram(
  encap: Encap,
  view: DataView,
  at: number,
  length: number,
  segmentBytes: number,
  headers: FrameHeaders,
): boolean {
  const secondAt = at + segmentBytes;
  const header = peekHeader(encap, view, at, length);
  if (header === HEADER_SHORT) return false;
  const frameAt = at + readHeaderBytes(header);
  locateHeaders(view, frameAt, at + length - frameAt, headers);
  const isWhole = headers.ipVersion !== 0 && headers.networkEnd === at + length;
  if (!isWhole || headers.transport !== IP_PROTOCOL.udp) return false;
  return !isNextHeader(encap, view, secondAt, length - segmentBytes, at);
}
