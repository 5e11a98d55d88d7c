/** `--allow-vtep CIDR`: sources that VXLAN is accepted from. */
import { formatIp, isMulticastIp } from '../../lib/addresses.ts';
import { formatPrefix, type IpPrefix, networkBytes, parseWrittenPrefix } from '../../lib/ip-prefix.ts';
import { MAX_ALLOWED_PREFIXES } from '../../lib/limits.ts';
import { refuse, type WrittenValue } from './written-value.ts';

/** The given prefixes without duplicates; none without the flag. @throws VtepError ERR_VTEP_USAGE */
export function parseAllowedVteps(values: readonly WrittenValue[]): IpPrefix[] {
  const prefixes = new Map<string, IpPrefix>();
  for (const written of values) {
    const prefix = parsePrefix(written);
    prefixes.set(formatPrefix(prefix), prefix);
    if (prefixes.size <= MAX_ALLOWED_PREFIXES) continue;
    refuse(written.object, `at most ${MAX_ALLOWED_PREFIXES} prefixes are allowed`, 'give fewer, wider ones');
  }
  return [...prefixes.values()];
}

/** A single address means itself. A prefix must have no bits set beyond its length, so that it is not ambiguous. */
function parsePrefix({ object, label, text }: WrittenValue): IpPrefix {
  const prefix = parseWrittenPrefix(text);
  if (prefix === undefined) refuse(object, `${label} is not a CIDR`, 'write it like 192.0.2.0/24 or fd00:1::/64');
  const network = formatIp(networkBytes(prefix.address, prefix.bits));
  if (network !== prefix.address) {
    const meant = formatPrefix({ address: network, bits: prefix.bits });
    refuse(
      object,
      `${label} has bits set beyond its prefix`,
      `write ${meant}, or ${prefix.address} for that VTEP alone`,
    );
  }
  if (isMulticastIp(prefix.address)) {
    refuse(object, `${label} is a multicast address, which cannot be a source`, 'give the unicast addresses of VTEPs');
  }
  return prefix;
}
