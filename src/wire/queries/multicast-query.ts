import { type IpAddress, ipBytes } from '../../lib/addresses.ts';

/** The common part of IGMP and MLD queries: their content, and the parameters that queriers share. */

/** Defaults of RFC 3376 §8 and RFC 3810 §9: robustness variable, query interval, query response interval. */
export const QUERY_DEFAULTS = { robustness: 2, intervalSeconds: 125, responseMs: 10_000 } as const;

/** A received query. */
export interface MulticastQuery {
  /** Version of IGMP or of MLD. */
  readonly version: number;
  readonly source: IpAddress;
  /** undefined: a general query, for all groups. */
  readonly group: IpAddress | undefined;
  /** Maximum response time of hosts. */
  readonly responseMs: number;
  /** The parameters of the querier. QUERY_DEFAULTS if the version does not have them, or the field is zero (RFC 3376 §4.1.6, §4.1.7). */
  readonly robustness: number;
  readonly intervalSeconds: number;
}

/** The end of a query, after the group address, that IGMPv3 and MLDv2 added (RFC 3376 §4.1, RFC 3810 §5.1). */
export const SOURCES_AT = 4;

/**
 *      0          1      2                   4
 *     +----------+------+-------------------+-----------
 *     | S, QRV   | QQIC | number of sources | sources …
 *     +----------+------+-------------------+-----------
 */
export function readQuerierTiming(view: DataView, at: number): { robustness: number; intervalSeconds: number } {
  return {
    robustness: view.getUint8(at) & 0x07 || QUERY_DEFAULTS.robustness,
    intervalSeconds: decodeFloat(view.getUint8(at + 1), 4) || QUERY_DEFAULTS.intervalSeconds,
  };
}

/** Writes the SOURCES_AT octets of a query without sources. */
export function writeQuerierTiming(view: DataView, at: number): void {
  view.setUint8(at, QUERY_DEFAULTS.robustness);
  view.setUint8(at + 1, QUERY_DEFAULTS.intervalSeconds);
  view.setUint16(at + 2, 0);
}

/**
 * A code of RFC 3376 §4.1.1 (mantissa of 4 bits) or RFC 3810 §5.1.3 (12 bits). If its first bit is clear, it is the plain value. If not, it is a
 * floating-point number with an exponent of three bits and the mantissa.
 */
export function decodeFloat(code: number, mantissaBits: number): number {
  const hidden = 1 << mantissaBits;
  if (code < hidden << 3) return code;
  const exponent = (code >> mantissaBits) & 0x07;
  return ((code & (hidden - 1)) | hidden) << (exponent + 3);
}

export function writeAddress(view: DataView, at: number, address: IpAddress): void {
  for (const [i, octet] of ipBytes(address).entries()) view.setUint8(at + i, octet);
}
