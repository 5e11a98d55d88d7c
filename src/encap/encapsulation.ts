import type { HeaderReason } from './reading.ts';

/** Encapsulations by number: what the data path chooses a codec by. */
export const ENCAP = { vxlan: 0 } as const;

export type Encap = (typeof ENCAP)[keyof typeof ENCAP];

/** Octets in front of an inner frame that are free for the header that vtepd writes: no codec writes more. */
export const HEADER_ROOM_BYTES = 8;

const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;
const UDP_HEADER_BYTES = 8;

/** What is said of an encapsulation outside of its codec. Frozen. */
export interface Encapsulation {
  readonly encap: Encap;
  /** As people write it. */
  readonly label: string;
  /** UDP port assigned to it. */
  readonly port: number;
  /** UDP ports that others use for it by mistake or by tradition. */
  readonly otherPorts: readonly number[];
  /** Octets of the header that vtepd writes, at most HEADER_ROOM_BYTES. A received one may have more or fewer. */
  readonly headerBytes: number;
  /** By the family of the outer addresses: octets that an inner frame grows by, outer IP header included. */
  readonly outerBytes: { readonly 4: number; readonly 6: number };
  /** Reasons that its codec drops for. */
  readonly dropReasons: readonly HeaderReason[];
}

/** `outerBytes` of an encapsulation in UDP. */
export function outerBytesOverUdp(headerBytes: number): Encapsulation['outerBytes'] {
  const behindIp = UDP_HEADER_BYTES + headerBytes;
  return Object.freeze({ 4: IP_HEADER_BYTES[4] + behindIp, 6: IP_HEADER_BYTES[6] + behindIp });
}
