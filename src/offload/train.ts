import { type FrameHeaders, locateHeaders } from '../wire/ip.ts';
import { hasReservedBits, hasVniFlag, VXLAN_HEADER_BYTES } from '../wire/vxlan.ts';

/** What the octets of one received message are, if UDP_GRO gave a segment size smaller than all of it. */
export const TRAIN = {
  /** Datagrams of that size that the kernel put together, the last perhaps shorter. */
  datagrams: 0,
  /** One datagram with an inner super-frame, whose segments have that size. */
  superFrame: 1,
  /** It could be either. */
  ambiguous: 2,
} as const;

/**
 * Tells trains of datagrams from a kernel peer's super-datagram: a vxlan device on the same machine sends an inner super-frame as one
 * datagram, and the segment size that comes with it is the inner one. The first inner IP packet tells: in a train it ends within its own
 * datagram.
 *
 * Whoever sends the inner packet chooses its length field and its payload. So a packet that claims more than its datagram is only believed
 * if no VXLAN header stands where the second datagram would begin: else a tenant could make one frame swallow those of others, or
 * smuggle frames into other VNIs inside a super-frame.
 *
 * @param headers scratch, overwritten
 * @returns one of TRAIN
 */
export function classifyTrain(
  view: DataView,
  at: number,
  length: number,
  segmentBytes: number,
  headers: FrameHeaders,
): number {
  const secondAt = at + segmentBytes;
  locateHeaders(view, at + VXLAN_HEADER_BYTES, length - VXLAN_HEADER_BYTES, headers);
  if (headers.ipVersion === 0 || headers.networkEnd <= secondAt) return TRAIN.datagrams;
  if (secondAt + VXLAN_HEADER_BYTES > at + length) return TRAIN.superFrame;
  return isVxlanHeader(view, secondAt, at) ? TRAIN.ambiguous : TRAIN.superFrame;
}

/** Whether a plain header stands there, or one with the same reserved bits as the first: 40 bits that no payload has by chance. */
function isVxlanHeader(view: DataView, at: number, firstAt: number): boolean {
  if (!hasVniFlag(view, at)) return false;
  return !hasReservedBits(view, at) || haveSameFlags(view, at, firstAt);
}

function haveSameFlags(view: DataView, a: number, b: number): boolean {
  return view.getUint32(a) === view.getUint32(b) && view.getUint8(a + 7) === view.getUint8(b + 7);
}
