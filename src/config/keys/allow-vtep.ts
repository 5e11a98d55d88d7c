/** `--allow-vtep CIDR`: whose VXLAN is taken. */
import { formatIp, isMulticastIp } from '../../lib/addresses.ts';
import { formatPrefix, type IpPrefix, networkBytes, parseWrittenPrefix } from '../../lib/ip-prefix.ts';
import { MAX_ALLOWED_PREFIXES } from '../../lib/limits.ts';
import { refuse, type WrittenValue } from './written-value.ts';

/** The prefixes that were given, each once; none where the flag was not. @throws VtepError ERR_VTEP_USAGE */
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

/** An address alone stands for itself. A prefix is written with nothing behind it, so that what is meant is what is written. */
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
