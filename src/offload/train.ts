import { isNextHeader, peekHeader } from '../encap/codec.ts';
import type { Encap } from '../encap/encapsulation.ts';
import { HEADER_SHORT, readHeaderBytes } from '../encap/reading.ts';
import { type FrameHeaders, IP_PROTOCOL, locateHeaders } from '../wire/ip.ts';

/**
 * UDP_GRO gave a segment size smaller than the message. Either these are datagrams of that size that the kernel put together, the last perhaps
 * shorter: a train. Or it is a kernel peer's super-datagram: a vxlan device on the same machine sends an inner UDP super-frame as one datagram,
 * and the segment size that comes with it is the inner one. This says whether it is the latter.
 *
 * Whoever sends the inner packet chooses its length field and its payload, so that nothing in the message proves what it is. Both mistakes are
 * kept harmless. A super-datagram that is taken for a train could bring a frame into another VNI: whoever cuts a message takes only the datagrams
 * that have the first one's header. A train that is taken for a super-datagram would make one frame of its neighbours' too: so the first
 * inner packet is believed to be longer than its datagram only if it fills the message to the octet and no such header stands where the
 * second datagram would begin.
 *
 * @param headers scratch, overwritten
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
