import { type FrameHeaders, IP_PROTOCOL, locateHeaders } from '../wire/ip.ts';
import { hasReservedBits, hasVniFlag, VXLAN_HEADER_BYTES } from '../wire/vxlan.ts';

/**
 * UDP_GRO gave a segment size smaller than the message. Either these are datagrams of that size that the kernel put together, the last perhaps
 * shorter: a train. Or it is a kernel peer's super-datagram: a vxlan device on the same machine sends an inner UDP super-frame as one datagram,
 * and the segment size that comes with it is the inner one. This says whether it is the latter.
 *
 * Whoever sends the inner packet chooses its length field and its payload, so that nothing in the message proves what it is. Both mistakes are
 * kept harmless. A super-datagram that is taken for a train could bring a frame into another VNI: whoever cuts a message takes only the datagrams
 * that have the first one's VXLAN header. A train that is taken for a super-datagram would make one frame of its neighbours' too: so the first
 * inner packet is believed to be longer than its datagram only if it fills the message to the octet and no VXLAN header stands where the
 * second datagram would begin.
 *
 * @param headers scratch, overwritten
 */
export function isSuperDatagram(
  view: DataView,
  at: number,
  length: number,
  segmentBytes: number,
  headers: FrameHeaders,
): boolean {
  const secondAt = at + segmentBytes;
  locateHeaders(view, at + VXLAN_HEADER_BYTES, length - VXLAN_HEADER_BYTES, headers);
  const isWhole = headers.ipVersion !== 0 && headers.networkEnd === at + length;
  if (!isWhole || headers.transport !== IP_PROTOCOL.udp) return false;
  return secondAt + VXLAN_HEADER_BYTES > at + length || !isVxlanHeader(view, secondAt, at);
}

/** Whether a plain header stands there, or one that has reserved bits in the same places as the first: what no payload has by chance. */
function isVxlanHeader(view: DataView, at: number, firstAt: number): boolean {
  if (!hasVniFlag(view, at)) return false;
  if (!hasReservedBits(view, at)) return true;
  // The bits between them may differ: in VXLAN-GBP they are the sender's policy.
  const hasSameEnds =
    view.getUint8(at) === view.getUint8(firstAt) && view.getUint8(at + 7) === view.getUint8(firstAt + 7);
  return hasSameEnds && hasReservedBits(view, firstAt);
}
