import { foldSum } from './checksum.ts';
import type { FrameHeaders } from './ip.ts';

/**
 * The ECN field (RFC 3168 §5) of what a tunnel carries (RFC 6040): the two low bits of the IPv4 TOS octet and of the IPv6 traffic class,
 * above which stands the DSCP.
 */

export const ECN = { notEct: 0b00, ect1: 0b01, ect0: 0b10, ce: 0b11 } as const;

const ECN_MASK = 0b11;

/** The outer TOS octet is the inner one, or 0 where that is not IP. */
export const INHERIT_TOS = -1;

/** TOS octet or traffic class of a frame's IP packet; 0 if it is none. */
export function innerTos(view: DataView, { ipVersion, networkAt }: FrameHeaders): number {
  if (ipVersion === 4) return view.getUint8(networkAt + 1);
  return ipVersion === 6 ? (view.getUint16(networkAt) >> 4) & 0xff : 0;
}

/**
 * What the tunnel's ingress writes outside: its own DSCP or the inner one, and the inner ECN field as it is (RFC 6040 §4.1, normal mode).
 * What is not IP is Not-ECT.
 *
 * @param tos 0–255, whose ECN bits do not count, or INHERIT_TOS
 */
export function outerTos(view: DataView, headers: FrameHeaders, tos: number): number {
  const inner = innerTos(view, headers);
  return tos === INHERIT_TOS ? inner : (tos & ~ECN_MASK) | (inner & ECN_MASK);
}

/** What a socket sends that is told nothing: the TOS of a Not-ECT packet, or of what is not IP. */
export function socketTos(tos: number): number {
  return tos === INHERIT_TOS ? 0 : tos & ~ECN_MASK;
}

/** Whether an outer ECN field can change or condemn an inner one at all: ECT(1) and CE can. */
export function hasEcnEffect(outer: number): boolean {
  return (outer & 1) !== 0;
}

/**
 * What the tunnel's egress makes of the inner ECN field (RFC 6040 §4.2, figure 4), in place. Only of an `outer` that has an effect.
 *
 *     inner \ outer   ECT(1)     CE
 *     Not-ECT         Not-ECT    drop
 *     ECT(0)          ECT(1)     CE
 *     ECT(1)          ECT(1)     CE
 *     CE              CE         CE
 *
 * @returns false if the frame is to be dropped: congestion was met and its sender would not understand
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

/** The header's checksum follows by what differs (RFC 1624), so that a wrong one stays wrong. */
function setIpv4Tos(view: DataView, at: number, tos: number): void {
  const before = view.getUint16(at);
  view.setUint8(at + 1, tos);
  const sum = (~view.getUint16(at + IPV4_CHECKSUM_AT) & 0xffff) + (~before & 0xffff) + view.getUint16(at);
  view.setUint16(at + IPV4_CHECKSUM_AT, ~foldSum(sum));
}
