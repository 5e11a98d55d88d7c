import type { HeaderReason } from './reading.ts';

/** Encapsulations by number. The data path selects a codec by this number. */
export const ENCAP = { vxlan: 0 } as const;

export type Encap = (typeof ENCAP)[keyof typeof ENCAP];

/** Free octets in front of an inner frame for the header that vtepd writes. No codec writes more. */
export const HEADER_ROOM_BYTES = 8;

const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;
const UDP_HEADER_BYTES = 8;

/** The properties of an encapsulation that are used outside its codec. Frozen. */
export interface Encapsulation {
  readonly encap: Encap;
  /** Its name for users. */
  readonly label: string;
  /** UDP port assigned to it. */
  readonly port: number;
  /** UDP ports that other implementations use by mistake or for historical reasons. */
  readonly otherPorts: readonly number[];
  /** Octets of the header that vtepd writes, at most HEADER_ROOM_BYTES. A received header may have more or fewer. */
  readonly headerBytes: number;
  /** Octets that are added to an inner frame, outer IP header included, by the family of the outer addresses. */
  readonly outerBytes: { readonly 4: number; readonly 6: number };
  /** Drop reasons of its codec. */
  readonly dropReasons: readonly HeaderReason[];
}

/** `outerBytes` of an encapsulation in UDP. */
export function outerBytesOverUdp(headerBytes: number): Encapsulation['outerBytes'] {
  const behindIp = UDP_HEADER_BYTES + headerBytes;
  return Object.freeze({ 4: IP_HEADER_BYTES[4] + behindIp, 6: IP_HEADER_BYTES[6] + behindIp });
}
