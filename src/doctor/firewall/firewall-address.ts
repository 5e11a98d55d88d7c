import { type IpAddress, ipBytes, ipFamily, parseIp } from '../../lib/addresses.ts';
import { networkBytes } from '../../lib/ip-prefix.ts';
import type { Match } from './firewall-walk.ts';

/** Whether an address, undefined for any of `family`, has the same prefix as another one. */
export function inPrefix(address: IpAddress | undefined, family: 4 | 6, written: string, bits: number): Match {
  const network = parseIp(written);
  if (network === undefined || ipFamily(network) !== family) return network === undefined ? 'maybe' : 'no';
  // A mask that is not a prefix, such as 255.255.0.255, is not evaluated.
  if (Number.isNaN(bits)) return 'maybe';
  if (bits === 0) return 'yes';
  if (address === undefined) return 'maybe';
  const [a, b] = [networkBytes(address, bits), networkBytes(network, bits)];
  return a.every((octet, i) => octet === b[i]) ? 'yes' : 'no';
}

/** Whether an address, undefined for any of `family`, is between two, both included. */
export function inAddressRange(address: IpAddress | undefined, family: 4 | 6, from: string, to: string): Match {
  const [first, last] = [parseIp(from), parseIp(to)];
  if (first === undefined || last === undefined) return 'maybe';
  if (ipFamily(first) !== family) return 'no';
  if (address === undefined) return 'maybe';
  return compare(first, address) <= 0 && compare(address, last) <= 0 ? 'yes' : 'no';
}

function compare(a: IpAddress, b: IpAddress): number {
  return Buffer.compare(ipBytes(a), ipBytes(b));
}
