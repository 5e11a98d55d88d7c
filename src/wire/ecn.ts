import { foldSum } from './checksum.ts';
import type { FrameHeaders } from './ip.ts';

/**
 * The ECN field (RFC 3168 §5) of packets in a tunnel (RFC 6040): the two low bits of the IPv4 TOS octet and of the IPv6 traffic class. The bits above
 * are the DSCP.
 */

export const ECN = { notEct: 0b00, ect1: 0b01, ect0: 0b10, ce: 0b11 } as const;

const ECN_MASK = 0b11;

/** The outer TOS octet is the inner one, or 0 if the frame is not IP. */
export const INHERIT_TOS = -1;

/** TOS octet or traffic class of the IP packet in a frame. 0 if it is not IP. */
export function innerTos(view: DataView, { ipVersion, networkAt }: FrameHeaders): number {
  if (ipVersion === 4) return view.getUint8(networkAt + 1);
  return ipVersion === 6 ? (view.getUint16(networkAt) >> 4) & 0xff : 0;
}

/**
 * The outer value that the ingress of the tunnel writes: its own DSCP or the inner one, and the inner ECN field unchanged (RFC 6040 §4.1, normal
 * mode). A frame that is not IP is Not-ECT.
 *
 * @param tos 0–255, whose ECN bits are ignored, or INHERIT_TOS
 */
export function outerTos(view: DataView, headers: FrameHeaders, tos: number): number {
  const inner = innerTos(view, headers);
  return tos === INHERIT_TOS ? inner : (tos & ~ECN_MASK) | (inner & ECN_MASK);
}

/** The default value of a socket: the TOS for a Not-ECT packet, or for a frame that is not IP. */
export function socketTos(tos: number): number {
  return tos === INHERIT_TOS ? 0 : tos & ~ECN_MASK;
}

/** Whether an outer ECN field can change the inner one or cause a drop: only ECT(1) and CE can. */
export function hasEcnEffect(outer: number): boolean {
  return (outer & 1) !== 0;
}

/**
 * Updates the inner ECN field at the egress of the tunnel (RFC 6040 §4.2, figure 4), in place. Only for an
 * `outer` that has an effect.
 *
 *     inner \ outer   ECT(1)     CE
 *     Not-ECT         Not-ECT    drop
 *     ECT(0)          ECT(1)     CE
 *     ECT(1)          ECT(1)     CE
 *     CE              CE         CE
 *
 * @returns false if the frame must be dropped: there was congestion, and its sender does not support ECN
 */
export function decapsulateEcn(view: DataView, headers: FrameHeaders, outer: number): boolean {
  const { ipVersion, networkAt } = headers;
  if (ipVersion === 0) return true;
  const tos = innerTos(view, headers);
  const inner = tos & ECN_MASK;
  if (inner === ECN.notEct) return outer !== ECN.ce;
  if (inner === ECN.ce || inner === outer) return true;
  if (ipVersion === 4) setIpv4Tos(view, networkAt, (tos & ~ECN_MASK) | outer);
  else view.setUint16(networkAt, (view.getUint16(networkAt) & ~(ECN_MASK << 4)) | (outer << 4));
  return true;
}

const IPV4_CHECKSUM_AT = 10;

/** The header checksum is updated incrementally (RFC 1624), so that a wrong one stays wrong. */
function setIpv4Tos(view: DataView, at: number, tos: number): void {
  const before = view.getUint16(at);
  view.setUint8(at + 1, tos);
  const sum = (~view.getUint16(at + IPV4_CHECKSUM_AT) & 0xffff) + (~before & 0xffff) + view.getUint16(at);
  view.setUint16(at + IPV4_CHECKSUM_AT, ~foldSum(sum));
}
