/**
 * struct virtio_net_hdr (linux/virtio_net.h), which precedes every frame read from or written to a TAP opened with IFF_VNET_HDR.
 * Multi-octet fields are little-endian here: vtepd runs on little-endian hosts, and sets TUNSETVNETLE in the kernel.
 *
 *      0       1          2         4          6            8             10
 *     +-------+----------+---------+----------+------------+-------------+
 *     | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
 *     +-------+----------+---------+----------+------------+-------------+
 *
 * csum_start counts from the first octet of the Ethernet header. hdr_len cannot be trusted when read.
 */

export const VNET_HDR_BYTES = 10;

/** The receiver of the frame has to compute the checksum from csum_start on. The field holds the pseudo-header sum. */
const NEEDS_CSUM = 1;

/** `ecn` is a flag beside a TCP type: only the first segment has CWR. */
export const GSO_TYPE = { none: 0, tcpv4: 1, tcpv6: 4, udp: 5, ecn: 0x80 } as const;

export function needsChecksum(view: DataView, at: number): boolean {
  return (view.getUint8(at) & NEEDS_CSUM) !== 0;
}

export function checksumStart(view: DataView, at: number): number {
  return view.getUint16(at + 6, true);
}

export function checksumOffset(view: DataView, at: number): number {
  return view.getUint16(at + 8, true);
}

/** One of GSO_TYPE without `ecn`. If it is not `none`, the frame is a super-frame for segments of `gsoSize` octets of payload. */
export function gsoType(view: DataView, at: number): number {
  return view.getUint8(at + 1) & ~GSO_TYPE.ecn;
}

export function gsoSize(view: DataView, at: number): number {
  return view.getUint16(at + 4, true);
}

/** A finished frame: the receiver has nothing to compute. */
export function writePlainHeader(view: DataView, at: number): void {
  view.setUint32(at, 0);
  view.setUint32(at + 4, 0);
  view.setUint16(at + 8, 0);
}

/** A frame whose transport checksum is unfinished. */
export function writePartialHeader(view: DataView, at: number, start: number, offset: number): void {
  view.setUint32(at, NEEDS_CSUM, true);
  view.setUint16(at + 4, 0);
  view.setUint16(at + 6, start, true);
  view.setUint16(at + 8, offset, true);
}

/** Marks a header of `writePartialHeader` as that of a super-frame for segments of `segmentBytes` octets of payload. */
export function markSuperFrame(
  view: DataView,
  at: number,
  type: number,
  headerBytes: number,
  segmentBytes: number,
): void {
  view.setUint8(at + 1, type);
  view.setUint16(at + 2, headerBytes, true);
  view.setUint16(at + 4, segmentBytes, true);
}
