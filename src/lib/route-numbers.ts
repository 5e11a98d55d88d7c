/**
 * The two numbers of BGP VPNs that an operator writes: route distinguishers (RFC 4364 §4.2) and route targets (RFC 4360 §4, RFC 5668). Both have
 * three forms, with the same numbers on the wire.
 */
import { formatIp, ipBytes, parseIp } from './addresses.ts';

export const NUMBER_FORM = { as2: 0, ipv4: 1, as4: 2 } as const;
export type NumberForm = keyof typeof NUMBER_FORM;

/** `ADMIN:VALUE` in text. */
export interface RouteNumber {
  readonly form: NumberForm;
  /** `as2`: 0 to 65535. `ipv4`, `as4`: 0 to 4294967295, the IPv4 address as a number. */
  readonly admin: number;
  /** `as2`: 0 to 4294967295. `ipv4`, `as4`: 0 to 65535. */
  readonly value: number;
}

/** Distinguishes the routes of one VNI of one host from those of all others. */
export type RouteDistinguisher = RouteNumber;

/** Says which segments a route belongs to. */
export type RouteTarget = RouteNumber;

const MAX_UINT16 = 0xffff;
const MAX_UINT32 = 0xffffffff;

/** Plain decimal digits without leading zeros. */
const DECIMAL = /^(0|[1-9]\d{0,9})$/;

/**
 * Reads `ADMIN:VALUE`. ADMIN is an AS in decimal, which is `as4` above 65535, an AS in two parts like `1.10` (RFC 5396), which is `as4`, or an IPv4
 * address.
 *
 * @returns undefined if it is none of these, or a number is out of range
 */
export function parseRouteNumber(text: string): RouteNumber | undefined {
  const [admin = '', valueText, ...rest] = text.split(':');
  const value = valueText === undefined || rest.length > 0 ? undefined : decimal(valueText, MAX_UINT32);
  if (value === undefined) return undefined;
  const as = decimal(admin, MAX_UINT32);
  if (as !== undefined && as <= MAX_UINT16) return { form: 'as2', admin: as, value };
  if (value > MAX_UINT16) return undefined;
  if (as !== undefined) return { form: 'as4', admin: as, value };
  const parts = admin.split('.');
  if (parts.length === 2) {
    const [high, low] = parts.map((part) => decimal(part, MAX_UINT16));
    return high === undefined || low === undefined ? undefined : { form: 'as4', admin: high * 65_536 + low, value };
  }
  const ip = parts.length === 4 ? parseIp(admin) : undefined;
  return ip && { form: 'ipv4', admin: uint32Of(ipBytes(ip)), value };
}

/** Reads back to the same number: an `as4` that would fit `as2` has its AS in two parts, as `0.100:5`. */
export function formatRouteNumber({ form, admin, value }: RouteNumber): string {
  if (form === 'ipv4') return `${formatIp(bytesOf(admin))}:${value}`;
  return form === 'as4' && admin <= MAX_UINT16 ? `0.${admin}:${value}` : `${admin}:${value}`;
}

function uint32Of(bytes: Uint8Array): number {
  return bytes.reduce((number, byte) => number * 256 + byte, 0);
}

function bytesOf(uint32: number): Uint8Array {
  return Uint8Array.of(uint32 >>> 24, (uint32 >>> 16) & 0xff, (uint32 >>> 8) & 0xff, uint32 & 0xff);
}

function decimal(text: string, max: number): number | undefined {
  return DECIMAL.test(text) && Number(text) <= max ? Number(text) : undefined;
}
