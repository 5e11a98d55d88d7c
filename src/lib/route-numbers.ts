/**
 * The two numbers of BGP VPNs that an operator writes: route distinguishers (RFC 4364 §4.2) and route targets (RFC 4360 §4, RFC 5668). Both have
 * three forms, with the same numbers on the wire.
 */
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
