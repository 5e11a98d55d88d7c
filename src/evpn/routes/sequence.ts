import { type IpAddress, ipBytes, ipFamily } from '../../lib/addresses.ts';

/** The part of a MAC route that decides which VTEP has the MAC (RFC 7432 §15). */
export interface MacClaim {
  readonly vtep: IpAddress;
  /** 32 bits unsigned. */
  readonly sequence: number;
  readonly isSticky: boolean;
}

/**
 * Compares two sequence numbers of MAC mobility. They wrap at 32 bits, so this is serial number arithmetic (RFC 1982). Numbers that are exactly half
 * the range apart have no order, and count as equal.
 *
 * @returns above 0: `one` is later; below 0: `other` is; 0: neither is
 */
export function compareSequences(one: number, other: number): number {
  const difference = (one - other) | 0;
  return difference === -0x8000_0000 ? 0 : difference;
}

/** The sequence number of the next move. */
export function nextSequence(sequence: number, step = 1): number {
  return (sequence + step) >>> 0;
}

export function laterSequence(one: number, other: number): number {
  return compareSequences(one, other) >= 0 ? one : other;
}

/** Compares addresses as numbers, IPv4 before IPv6. */
export function compareIps(one: IpAddress, other: IpAddress): number {
  if (one === other) return 0;
  const families = ipFamily(one) - ipFamily(other);
  if (families !== 0) return families;
  const [ones, others] = [ipBytes(one), ipBytes(other)];
  for (const [index, octet] of ones.entries()) {
    const difference = octet - (others[index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether `one` has the MAC rather than `other`: a sticky route, then the later sequence, then the lower VTEP (RFC 7432 §15, §15.2). */
export function isPreferred(one: MacClaim, other: MacClaim): boolean {
  if (one.isSticky !== other.isSticky) return one.isSticky;
  const order = compareSequences(one.sequence, other.sequence);
  return order === 0 ? compareIps(one.vtep, other.vtep) < 0 : order > 0;
}
