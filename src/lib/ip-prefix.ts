import { type IpAddress, ipBytes, ipFamily, parseIp } from './addresses.ts';

/** Addresses with the same prefix (CIDR, RFC 4632): `198.18.0.0/15`, `fd00:18::/64`. */
export interface IpPrefix {
  /** All bits beyond `bits` are zero. */
  readonly address: IpAddress;
  /** 0 to 32 in IPv4, 0 to 128 in IPv6. */
  readonly bits: number;
}

/** Bits of an address of the prefix's family. */
export function maxPrefixBits(address: IpAddress): 32 | 128 {
  return ipFamily(address) === 4 ? 32 : 128;
}

/** The address with all bits beyond the first `bits` zero, 4 or 16 octets. */
export function networkBytes(address: IpAddress, bits: number): Uint8Array {
  return ipBytes(address).map((octet, i) => octet & (0xff00 >> Math.max(0, Math.min(8, bits - 8 * i))));
}

/**
 * Reads `ADDRESS/BITS`, or one address. Bits beyond the prefix may be set. IPv4-mapped IPv6 and zones are refused.
 * Anything else is undefined.
 */
export function parseWrittenPrefix(text: string): IpPrefix | undefined {
  const [written = '', bits, ...rest] = text.split('/');
  const address = parseIp(written);
  if (address === undefined || rest.length > 0) return undefined;
  if (written.includes(':') !== (ipFamily(address) === 6)) return undefined;
  const max = maxPrefixBits(address);
  if (bits === undefined) return { address, bits: max };
  return /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= max ? { address, bits: Number(bits) } : undefined;
}

export function formatPrefix({ address, bits }: IpPrefix): string {
  return `${address}/${bits}`;
}
